-- Forget what agents reported in a room that were not heard there for long.
-- ARGV: protocol, for how many microseconds, how many agents at most
-- Answer: how many were forgotten.
local K = 'room:' .. ARGV[1]
local silent = redis.call('ZRANGE', K .. ':heard', '-inf', text(clock() - ARGV[2]), 'BYSCORE', 'LIMIT', 0, ARGV[3])
if #silent > 0 then
  redis.call('HDEL', K .. ':latest', unpack(silent))
  for _, key in ipairs({':heard', ':busy', ':running', ':changed'}) do redis.call('ZREM', K .. key, unpack(silent)) end
end
return #silent
