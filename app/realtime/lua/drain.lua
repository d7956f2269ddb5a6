-- Drain a room.
-- KEYS: all of keys.lua. ARGV: protocol id, expected steady time.
-- Reply: as reply() of drain_room.lua.
local MAX_CORRECTED = 1000

-- After Redis's clock has stepped back: no agent was last seen after now.
local function correct(key)
  local future = redis.call('ZRANGE', key, text(wall + 1000000), '+inf', 'BYSCORE', 'LIMIT', 0, MAX_CORRECTED)
  for _, name in ipairs(future) do redis.call('ZADD', key, text(wall), name) end
  return #future > 0
end

if correct(ALL_LAST_SEEN_KEY) or correct(LAST_SEEN_KEY) then
  for _, key in ipairs({LAST_SEEN_KEY, BUSY_KEY, ALL_BUSY_KEY}) do correct(key) end
end
drain_room()
return reply()
