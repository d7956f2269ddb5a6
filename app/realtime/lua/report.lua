-- Take RUNNING reports: each replaces the waiting update of its agent in its room, which a later drain emits.
-- ARGV: for each report the agent, protocol id, task and data (a JSON object without its closing brace); or all of them
-- in one MessagePack array, which is cheaper to send and to read.
-- Reply: a version; then, for each report that has another version or whose agent was not on this task before, its index
-- from 0, its version, and '1' if the agent was not on this task before, else '0'. All others have the first version.
-- A version is the microsecond of Redis's clock, and always greater than the one before.
-- The cost of a batch is its number of calls: one for each key, not for each report. `agents:last_seen` and `agents:busy`
-- only count agents, and lag by LAG; the exact time an agent was last seen is its version, unless the clock stepped back.
local LAG = 5000000

-- Redis keeps a small hash as a list, which is searched from its start, until one value is longer than 64 bytes: this
-- field, of no agent, makes it a hash table at once (a third of the cost of a batch of reports of 200 agents).
local function make_hash_tables(...)
  for _, key in ipairs({...}) do redis.call('HSET', key, '', string.rep('-', 65)) end
end

local reports = #ARGV == 1 and cmsgpack.unpack(ARGV[1]) or ARGV
local wall, agents, count = wall_clock(), {}, #reports / 4
for i = 1, count do agents[i] = reports[4 * i - 3] end
local versions = redis.call('HMGET', 'agents:version', unpack(agents))
local tasks = redis.call('HMGET', 'agents:task', unpack(agents))
local next_allowed = redis.call('HMGET', 'agents:next_allowed', unpack(agents))
local stamp, tick, version_of_agent, task_of_agent = text(wall), wall - wall % LAG, {}, {}
local new_versions, new_tasks, new_task_versions, last_seen, rooms, moves, result = {}, {}, {}, {}, {}, {}, {stamp}
local now = steady_time(wall)
local now_text = text(now)
for i = 1, count do
  local agent, id = agents[i], reports[4 * i - 2]
  local task = id .. ' ' .. reports[4 * i - 1]
  local version_before = tonumber(version_of_agent[agent] or versions[i] or 0)
  local version = version_before < wall and stamp or text(version_before + 1)
  local task_before = task_of_agent[agent] or tasks[i]
  local is_new = task_before ~= task
  if is_new and task_before and task_before:match('^%S+') ~= id then
    moves[#moves + 1] = {agent, task_before:match('^%S+'), tonumber(version)}
  end
  local room = rooms[id] or {latest = {}, waiting = {}, last_seen = {}, due = math.huge}
  rooms[id] = room
  version_of_agent[agent], task_of_agent[agent] = version, task
  new_versions[2 * i - 1], new_versions[2 * i] = agent, version
  if is_new or version_before < tick or version_before > wall then
    new_tasks[#new_tasks + 1], last_seen[#last_seen + 1] = agent, stamp
    new_tasks[#new_tasks + 1], last_seen[#last_seen + 1] = task, agent
    room.last_seen[#room.last_seen + 1], room.last_seen[#room.last_seen + 2] = stamp, agent
  end
  if is_new then
    new_task_versions[#new_task_versions + 1], new_task_versions[#new_task_versions + 2] = agent, version
  end
  if is_new or version ~= stamp then
    result[#result + 1] = i - 1
    result[#result + 1] = version
    result[#result + 1] = is_new and '1' or '0'
  end
  local due, n = math.max(now, tonumber(next_allowed[i] or 0)), #room.latest
  room.latest[n + 1], room.latest[n + 2] = agent, reports[4 * i] .. ',"version":"' .. version .. '"}'
  room.waiting[n + 1], room.waiting[n + 2] = due == now and now_text or next_allowed[i], agent
  room.due = math.min(room.due, due)
end
if not versions[1] then make_hash_tables('agents:version', 'agents:task', 'agents:next_allowed') end
redis.call('HSET', 'agents:version', unpack(new_versions))
if #new_task_versions > 0 then redis.call('HSET', 'agents:task_version', unpack(new_task_versions)) end
if #new_tasks > 0 then
  redis.call('HSET', 'agents:task', unpack(new_tasks))
  redis.call('ZADD', 'agents:last_seen', unpack(last_seen))
  redis.call('ZADD', 'agents:busy', unpack(last_seen))
end
for id, room in pairs(rooms) do
  local K = 'room:' .. id
  redis.call('HSET', K .. ':latest', unpack(room.latest))
  redis.call('ZADD', K .. ':waiting', 'NX', unpack(room.waiting))
  if #room.last_seen > 0 then
    redis.call('ZADD', K .. ':last_seen', unpack(room.last_seen))
    redis.call('ZADD', K .. ':busy', unpack(room.last_seen))
  end
  if redis.call('EXISTS', K .. ':batch_seq') == 1 then
    redis.call('ZADD', K .. ':batch_waiting', 'NX', unpack(room.waiting))
  end
  redis.call('ZADD', 'rooms:due', 'LT', text(room.due), id)
end
for _, move in ipairs(moves) do
  local agent, earlier, version = unpack(move)
  set_idle(agent, earlier, version, now)
  if task_of_agent[agent]:match('^%S+') ~= earlier then stop_counting(agent, earlier, wall) end
end
return result
