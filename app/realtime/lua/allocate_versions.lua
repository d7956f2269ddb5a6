-- Reserve two versions for each report that is stored before it enters its room: its own, and that of the next task.
-- ARGV: agents; one may be named repeatedly.
-- Reply: for each the first of the two versions, and how many terminal updates of the agent have yet to leave.
local now, result = wall_clock(), {}
for _, agent in ipairs(ARGV) do
  local version = math.max(now, tonumber(redis.call('HGET', 'agents:version', agent) or 0) + 1)
  redis.call('HSET', 'agents:version', agent, text(version + 1))
  result[#result + 1] = text(version)
  result[#result + 1] = tonumber(redis.call('HGET', 'agents:pending_terminal', agent) or 0)
end
return result
