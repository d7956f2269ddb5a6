-- Take a stored agent update. A terminal one waits in order and replaces the agent's waiting RUNNING update in its room;
-- a RUNNING one (the start of the next task) waits like any other.
-- ARGV: the names below; task is '' for a terminal update, kind is 'terminal' or 'running'.
-- Reply: 'new'; 'repeated' if it was taken before; 'behind' if the database is older than the room, without a change.
-- Versions cannot tell that: an agent's updates arrive through two rooms, and two of its requests in either order.
local agent, id, position, task, data, version_text, kind, identity = unpack(ARGV)
local wall, version, K = wall_clock(), tonumber(version_text), 'room:' .. id
local found = record_stored(K, position, identity)
if found ~= 'new' then return found end
local latest = redis.call('HGET', K .. ':latest', agent)
local is_newest = version > (latest and version_of(latest) or 0)
local due = math.max(steady_time(wall), tonumber(redis.call('HGET', 'agents:next_allowed', agent) or 0))
local last_version = math.max(version, tonumber(redis.call('HGET', 'agents:version', agent) or 0))
redis.call('HSET', 'agents:version', agent, text(last_version))
redis.call('ZADD', 'agents:last_seen', text(wall), agent)
if is_newest then
  redis.call('HSET', K .. ':latest', agent, data)
  redis.call('ZREM', K .. ':waiting', agent)
end
local is_current = version > tonumber(redis.call('HGET', 'agents:task_version', agent) or 0)
if is_current then
  local earlier = (redis.call('HGET', 'agents:task', agent) or id):match('^%S+')
  if earlier ~= id then
    set_idle(agent, earlier, version, due)
    stop_counting(agent, earlier, wall)
  end
  redis.call('ZADD', K .. ':last_seen', text(wall), agent)
  redis.call('HSET', 'agents:task_version', agent, version_text)
  redis.call('HSET', 'agents:task', agent, id .. ' ' .. task)
end
if kind == 'terminal' then
  if is_current then
    redis.call('ZREM', 'agents:busy', agent)
    redis.call('ZREM', K .. ':busy', agent)
  end
  redis.call('RPUSH', 'agent:' .. agent .. ':terminal', id .. ' ' .. data)
  if redis.call('HINCRBY', 'agents:pending_terminal', agent, 1) == 1 then
    redis.call('ZADD', K .. ':terminal', text(due), agent)
  end
elseif is_newest then
  redis.call('ZADD', 'agents:busy', text(wall), agent)
  if is_current then redis.call('ZADD', K .. ':busy', text(wall), agent) end
  redis.call('ZADD', K .. ':waiting', text(due), agent)
  if redis.call('EXISTS', K .. ':batch_seq') == 1 then redis.call('ZADD', K .. ':batch_waiting', text(due), agent) end
end
redis.call('ZADD', 'rooms:due', 'LT', text(due), id)
return 'new'
