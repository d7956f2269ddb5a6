-- Take a stored agent event. A closing one waits in order and replaces the agent's waiting RUNNING update in its room;
-- a RUNNING one (the start of the next task) waits as any other.
-- ARGV: agent, protocol, outbox position, task or '' when none is current, data (JSON), version, 'final' or 'running'
-- Answer: 1 when taken, 0 when an event of this or a later position of the room's outbox was taken before. Versions do
-- not tell that: an agent's events come by two rooms, and two of its requests in either order.
local now, agent, id, position, version = clock(), ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[6])
local K = 'room:' .. id
if position <= tonumber(redis.call('GET', K .. ':outbox') or 0) then return 0 end
redis.call('SET', K .. ':outbox', ARGV[3])
local shown = redis.call('HGET', K .. ':latest', agent)
local newest = version > tonumber(shown and shown:match('"version":"(%d+)"}$') or 0)
local due = math.max(now, tonumber(redis.call('HGET', 'agents:due', agent) or 0))
local last = math.max(version, tonumber(redis.call('HGET', 'agents:version', agent) or 0))
redis.call('HSET', 'agents:version', agent, text(last))
redis.call('ZADD', 'agents:heard', text(now), agent)
if newest then
  redis.call('HSET', K .. ':latest', agent, ARGV[5])
  redis.call('ZREM', K .. ':running', agent)
end
local turned = version > tonumber(redis.call('HGET', 'agents:turned', agent) or 0)
if turned then
  leave(redis.call('HGET', 'agents:on', agent), agent, id)
  redis.call('ZADD', K .. ':heard', text(now), agent)
  redis.call('HSET', 'agents:turned', agent, ARGV[6])
  redis.call('HSET', 'agents:on', agent, id .. ' ' .. ARGV[4])
end
if ARGV[7] == 'final' then
  if turned then
    redis.call('ZREM', 'agents:busy', agent)
    redis.call('ZREM', K .. ':busy', agent)
  end
  redis.call('RPUSH', 'agent:' .. agent .. ':finals', id .. ' ' .. ARGV[5])
  if redis.call('HINCRBY', 'agents:closing', agent, 1) == 1 then
    redis.call('ZADD', K .. ':finals', text(due), agent)
  end
elseif newest then
  redis.call('ZADD', 'agents:busy', text(now), agent)
  if turned then redis.call('ZADD', K .. ':busy', text(now), agent) end
  redis.call('ZADD', K .. ':running', text(due), agent)
  if redis.call('EXISTS', 'room:~' .. id .. ':seq') == 1 then redis.call('ZADD', K .. ':changed', text(due), agent) end
end
redis.call('ZADD', 'rooms:due', 'LT', text(due), id)
return 1
