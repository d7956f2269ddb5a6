-- Delete the reports of agents that were not seen in a room for long.
-- ARGV: the names below; silence is in microseconds.
-- Reply: the number of agents deleted.
local id, silence, max_agents = unpack(ARGV)
local K = 'room:' .. id
local since = text(wall_clock() - silence)
local silent = redis.call('ZRANGE', K .. ':last_seen', '-inf', since, 'BYSCORE', 'LIMIT', 0, max_agents)
if #silent > 0 then
  redis.call('HDEL', K .. ':latest', unpack(silent))
  for _, key in ipairs({':last_seen', ':busy', ':waiting', ':batch_waiting'}) do
    redis.call('ZREM', K .. key, unpack(silent))
  end
end
return #silent
