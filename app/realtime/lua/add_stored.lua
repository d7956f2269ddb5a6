-- Take a stored agent event. A closing one waits in order and replaces the agent's waiting RUNNING update in its room;
-- a RUNNING one (the start of the next task) waits as any other.
-- ARGV: agent, protocol, outbox position, task or '' when none is current, data (JSON), version, 'final' or 'running',
--   identity of the stored event
-- Answer: 'new' when taken, 'repeated' when it was taken before, 'behind' when the database is older than the room:
-- nothing is done then. Versions do not tell that: an agent's events come by two rooms, and two of its requests in
-- either order.
local now, agent, id, version = clock(), ARGV[1], ARGV[2], tonumber(ARGV[6])
local K = 'room:' .. id
local found = note_stored(K, ARGV[3], ARGV[8])
if found ~= 'new' then return found end
local shown = redis.call('HGET', K .. ':latest', agent)
local newest = version > (shown and version_of(shown) or 0)
local due = math.max(steady(now), tonumber(redis.call('HGET', 'agents:due', agent) or 0))
local last = math.max(version, tonumber(redis.call('HGET', 'agents:version', agent) or 0))
redis.call('HSET', 'agents:version', agent, text(last))
redis.call('ZADD', 'agents:heard', text(now), agent)
if newest then
  redis.call('HSET', K .. ':latest', agent, ARGV[5])
  redis.call('ZREM', K .. ':running', agent)
end
local turned = version > tonumber(redis.call('HGET', 'agents:turned', agent) or 0)
if turned then
  local earlier = (redis.call('HGET', 'agents:on', agent) or id):match('^%S+')
  if earlier ~= id then
    show_idle(agent, earlier, version, due)
    redis.call('ZREM', 'room:' .. earlier .. ':busy', agent)
  end
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
return 'new'
