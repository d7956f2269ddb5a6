-- Take RUNNING reports: each replaces what its agent has waiting in that room; it leaves with a later turn.
-- ARGV: for each report: agent, protocol, task, data (JSON object without its closing brace); or all of it in one
-- MessagePack array, which is cheaper to send and to read.
-- Answer: a version, then for each report that has another one, or whose agent was not on this task before: its place
-- (from 0), its version, '1' when the agent was not on this task before, else '0'. All others have the first version.
-- A version is the microsecond of Redis's clock, and always more than the one before.
-- Calls are what a batch costs: one for each key, not for each report. `agents:heard` and `agents:busy` only count
-- agents, and lag by LAG; when an agent was last heard is its version, unless Redis's clock has stepped back since.
local LAG = 5000000
local given = #ARGV == 1 and cmsgpack.unpack(ARGV[1]) or ARGV
local now, agents, count = clock(), {}, #given / 4
for i = 1, count do agents[i] = given[4 * i - 3] end
local versions = redis.call('HMGET', 'agents:version', unpack(agents))
local tasks = redis.call('HMGET', 'agents:on', unpack(agents))
local dues = redis.call('HMGET', 'agents:due', unpack(agents))
local stamp, tick, number_of, task_of = text(now), now - now % LAG, {}, {}
local numbered, moved, turned, heard, rooms, left, result = {}, {}, {}, {}, {}, {}, {stamp}
local steady_now = steady(now)
local steady_stamp = text(steady_now)
for i = 1, count do
  local agent, id, on = agents[i], given[4 * i - 2], given[4 * i - 2] .. ' ' .. given[4 * i - 1]
  local before = tonumber(number_of[agent] or versions[i] or 0)
  local version = before < now and stamp or text(before + 1)
  local before_on = task_of[agent] or tasks[i]
  local is_new = before_on ~= on
  if is_new and before_on and before_on:match('^%S+') ~= id then
    left[#left + 1] = {agent, before_on:match('^%S+'), tonumber(version)}
  end
  local room = rooms[id] or {latest = {}, running = {}, heard = {}, due = math.huge}
  rooms[id] = room
  number_of[agent], task_of[agent] = version, on
  numbered[2 * i - 1], numbered[2 * i] = agent, version
  if is_new or before < tick or before > now then
    moved[#moved + 1], heard[#heard + 1] = agent, stamp
    moved[#moved + 1], heard[#heard + 1] = on, agent
    room.heard[#room.heard + 1], room.heard[#room.heard + 2] = stamp, agent
  end
  if is_new then turned[#turned + 1], turned[#turned + 2] = agent, version end
  if is_new or version ~= stamp then
    result[#result + 1] = i - 1
    result[#result + 1] = version
    result[#result + 1] = is_new and '1' or '0'
  end
  local due, n = math.max(steady_now, tonumber(dues[i] or 0)), #room.latest
  room.latest[n + 1], room.latest[n + 2] = agent, given[4 * i] .. ',"version":"' .. version .. '"}'
  room.running[n + 1], room.running[n + 2] = due == steady_now and steady_stamp or dues[i], agent
  room.due = math.min(room.due, due)
end
if not versions[1] then as_tables('agents:version', 'agents:on', 'agents:due') end
redis.call('HSET', 'agents:version', unpack(numbered))
if #turned > 0 then redis.call('HSET', 'agents:turned', unpack(turned)) end
if #moved > 0 then
  redis.call('HSET', 'agents:on', unpack(moved))
  redis.call('ZADD', 'agents:heard', unpack(heard))
  redis.call('ZADD', 'agents:busy', unpack(heard))
end
for id, room in pairs(rooms) do
  redis.call('HSET', 'room:' .. id .. ':latest', unpack(room.latest))
  redis.call('ZADD', 'room:' .. id .. ':running', 'NX', unpack(room.running))
  if #room.heard > 0 then
    redis.call('ZADD', 'room:' .. id .. ':heard', unpack(room.heard))
    redis.call('ZADD', 'room:' .. id .. ':busy', unpack(room.heard))
  end
  if redis.call('EXISTS', 'room:~' .. id .. ':seq') == 1 then  -- there is a batched view
    redis.call('ZADD', 'room:' .. id .. ':changed', 'NX', unpack(room.running))
  end
  redis.call('ZADD', 'rooms:due', 'LT', text(room.due), id)
end
for _, each in ipairs(left) do
  local agent, earlier, version = unpack(each)
  show_idle(agent, earlier, version, steady_now)
  if task_of[agent]:match('^%S+') ~= earlier then redis.call('ZREM', 'room:' .. earlier .. ':busy', agent) end
end
return result
