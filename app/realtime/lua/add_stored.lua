-- Take a stored agent update. A terminal one waits in order and replaces the agent's waiting RUNNING update; a RUNNING
-- one (the start of the next task) waits like any other. A terminal update of an agent that has moved on is emitted,
-- and does not bring it back.
-- KEYS: all of keys.lua. ARGV: protocol id, expected steady time, then the names below; task is '' for a terminal
-- update; must_be_here is '1' if the update of an agent that works elsewhere is not to be taken yet.
-- Reply: the steady time, and 'new'; 'away' if it is not to be taken yet; 'repeated' if it was taken before; 'behind'
-- if the database is older than the room, without a change.
local name, position, identity, task, data, version, must_be_here = unpack(ARGV, 3)
local agent, latest, is_terminal = read_agent(name), redis.call('HGET', LATEST_KEY, name), task == ''
if must_be_here == '1' and not agent.is_here then return {text(now), 'away'} end
local found = record_stored(position, identity)
if found ~= 'new' then return {text(now), found} end
version = tonumber(version)
local is_newest = version > (latest and version_of(latest) or 0) and (is_terminal or agent.is_here)
local is_current = agent.is_here and version > agent.task_version
local due, stamp = math.max(now, agent.next_allowed), text(wall)
agent.version = math.max(agent.version, version)
if is_newest then
  redis.call('HSET', LATEST_KEY, name, data)
  redis.call('ZREM', WAITING_KEY, name)
end
if is_current then
  agent.task, agent.task_version = task, version
  for _, key in ipairs({LAST_SEEN_KEY, ALL_LAST_SEEN_KEY}) do redis.call('ZADD', key, stamp, name) end
  for _, key in ipairs({BUSY_KEY, ALL_BUSY_KEY}) do
    if is_terminal then redis.call('ZREM', key, name) else redis.call('ZADD', key, stamp, name) end
  end
end
if is_terminal then
  local earlier = redis.call('HGET', TERMINAL_UPDATES_KEY, name)
  redis.call('HSET', TERMINAL_UPDATES_KEY, name, earlier and earlier .. '\n' .. data or data)
  agent.pending = agent.pending + 1
  if agent.pending == 1 then redis.call('ZADD', TERMINAL_KEY, text(due), name) end
elseif is_newest then
  redis.call('ZADD', WAITING_KEY, text(due), name)
  if redis.call('HEXISTS', STATE_KEY, 'batch_seq') == 1 then redis.call('ZADD', BATCH_WAITING_KEY, text(due), name) end
end
save_agent(name, agent)
keep_agent(name)
if is_terminal or is_newest then redis.call('ZADD', DUE_KEY, 'LT', text(due), ID) end
touch_room()
count_change()
return {text(now), 'new'}
