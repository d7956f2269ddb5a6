-- Reserve the versions of a closing report (COMPLETED, FAILED) and of the task after it, before they are stored.
-- ARGV: agent
-- Answer: the first of two versions, and how many closing events this agent has waiting.
local now, A = clock(), 'agent:' .. ARGV[1]
local version = math.max(now, tonumber(redis.call('HGET', A, 'version') or 0) + 1)
redis.call('HSET', A, 'version', text(version + 1))
return {text(version), tonumber(redis.call('HGET', A, 'closing') or 0)}
