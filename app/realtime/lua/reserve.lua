-- Reserve the versions of a closing report (COMPLETED, FAILED) and of the task after it, before they are stored.
-- ARGV: agent
-- Answer: the first of two versions, and how many closing events this agent has waiting.
local now, agent = clock(), ARGV[1]
local version = math.max(now, tonumber(redis.call('HGET', 'agents:version', agent) or 0) + 1)
redis.call('HSET', 'agents:version', agent, text(version + 1))
return {text(version), tonumber(redis.call('HGET', 'agents:closing', agent) or 0)}
