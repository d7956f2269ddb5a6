-- Read the number of a room's last event, or of its batched view's. A number that Redis lost goes on from the clock in
-- milliseconds, far above the old number.
-- KEYS: those of keys.lua that a report needs. ARGV: protocol id, expected steady time, then the names below; field is
-- 'seq' or 'batch_seq'; first, if not '', is the number of a room that does not exist yet.
-- Reply: the steady time, the number.
local field, first = unpack(ARGV, 3)
local number = redis.call('HGET', STATE_KEY, field)
if not number then
  number = first ~= '' and first or text(math.floor(wall / 1000))
  redis.call('HSET', STATE_KEY, field, number)
  touch_room()
end
return {text(now), number}
