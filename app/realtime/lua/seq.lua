-- Read a room's sequence number; one that Redis forgot goes on from the clock (milliseconds), far above the old one.
-- ARGV: protocol, '0' to begin a new room at 0
-- Answer: the number of the last event.
local key = 'room:' .. ARGV[1] .. ':seq'
if redis.call('EXISTS', key) == 0 then
  redis.call('SET', key, ARGV[2] or text(math.floor(clock() / 1000)))
end
return text(tonumber(redis.call('GET', key)))
