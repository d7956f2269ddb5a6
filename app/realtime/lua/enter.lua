-- Take a stored agent event. A closing one waits in order and replaces the agent's waiting RUNNING update in its room;
-- a RUNNING one (the start of the next task) waits as any other. The same version twice is taken once.
-- ARGV: agent, protocol, task or '' when none is current, data (JSON), version, 'final' or 'running'
-- Answer: 1 when taken, 0 when it was known.
local now, agent, id, version = clock(), ARGV[1], ARGV[2], tonumber(ARGV[5])
local K = 'room:' .. id
if version <= tonumber(redis.call('HGET', 'agents:stored', agent) or 0) then return 0 end
local shown = redis.call('HGET', K .. ':latest', agent)
local newest = version > tonumber(shown and shown:match('"version":"(%d+)"}$') or 0)
local due = math.max(now, tonumber(redis.call('HGET', 'agents:due', agent) or 0))
redis.call('HSET', 'agents:stored', agent, text(version))
local last = math.max(version, tonumber(redis.call('HGET', 'agents:version', agent) or 0))
redis.call('HSET', 'agents:version', agent, text(last))
redis.call('ZADD', 'agents:heard', text(now), agent)
if newest then
  redis.call('HSET', K .. ':latest', agent, ARGV[4])
  redis.call('HSET', 'agents:on', agent, id .. ' ' .. ARGV[3])
  redis.call('ZREM', K .. ':running', agent)
end
if ARGV[6] == 'final' then
  if newest then redis.call('ZREM', 'agents:busy', agent) end
  redis.call('RPUSH', 'agent:' .. agent .. ':finals', id .. ' ' .. ARGV[4])
  if redis.call('HINCRBY', 'agents:closing', agent, 1) == 1 then
    redis.call('ZADD', K .. ':finals', text(due), agent)
  end
elseif newest then
  redis.call('ZADD', 'agents:busy', text(now), agent)
  redis.call('ZADD', K .. ':running', text(due), agent)
  if redis.call('EXISTS', 'room:~' .. id .. ':seq') == 1 then redis.call('ZADD', K .. ':changed', text(due), agent) end
end
redis.call('ZADD', 'rooms:due', 'LT', text(due), id)
return 1
