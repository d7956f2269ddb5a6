-- Read the number of a view's last event. A number that Redis lost goes on from the clock in milliseconds, far above the
-- old number.
-- ARGV: the names below; view is a protocol id, or '~' and a protocol id for the batched view; first, if given, is the
-- number of a room that does not exist yet.
-- Reply: the number.
local view, first = unpack(ARGV)
local batched_id = view:match('^~(.*)$')
local key = batched_id and 'room:' .. batched_id .. ':batch_seq' or 'room:' .. view .. ':seq'
if redis.call('EXISTS', key) == 0 then
  redis.call('SET', key, first or text(math.floor(wall_clock() / 1000)))
end
return text(tonumber(redis.call('GET', key)))
