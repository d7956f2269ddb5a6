-- Reserve the versions of reports that are stored before they enter their room (COMPLETED, FAILED, or RUNNING reports
-- beside them), and of the task after each.
-- ARGV: agents; one may be named again
-- Answer: for each the first of two versions, and how many closing events this agent has waiting.
local now, result = clock(), {}
for _, agent in ipairs(ARGV) do
  local version = math.max(now, tonumber(redis.call('HGET', 'agents:version', agent) or 0) + 1)
  redis.call('HSET', 'agents:version', agent, text(version + 1))
  result[#result + 1] = text(version)
  result[#result + 1] = tonumber(redis.call('HGET', 'agents:closing', agent) or 0)
end
return result
