-- Take RUNNING reports: each replaces what its agent has waiting in that room; it leaves with a later turn.
-- ARGV: then for each report: agent, protocol, task, data (JSON object without its closing brace)
-- Answer: for each report its version, and '1' when the agent was not on this task before.
-- The version is the clock's microsecond, and always more than the one before.
local now, result = clock(), {}
for i = 1, #ARGV, 4 do
  local agent, id, task = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local A, K = 'agent:' .. agent, 'room:' .. id
  local was = redis.call('HMGET', A, 'version', 'on', 'due')
  local version = math.max(now, tonumber(was[1] or 0) + 1)
  local on = id .. ' ' .. task
  redis.call('HSET', A, 'version', text(version), 'on', on)
  redis.call('ZADD', 'agents:heard', text(now), agent)
  redis.call('ZADD', 'agents:busy', text(now), agent)
  redis.call('HSET', K .. ':latest', agent, ARGV[i + 3] .. ',"version":"' .. text(version) .. '"}')
  local due = math.max(now, tonumber(was[3] or 0))
  redis.call('ZADD', K .. ':running', 'NX', text(due), agent)
  redis.call('ZADD', 'rooms:due', 'LT', text(due), id)
  table.insert(result, text(version))
  table.insert(result, was[2] == on and '0' or '1')
end
return result
