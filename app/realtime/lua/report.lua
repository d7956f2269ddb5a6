-- Take RUNNING reports of agents that work in the room: each replaces the waiting update of its agent, which a later
-- drain emits. The cost of a batch is its number of calls: one for each key, not for each report.
-- KEYS: those of keys.lua that a report needs. ARGV: protocol id, expected steady time, MessagePack array with the agent,
-- task and data (a JSON object without its closing brace) of each report; an agent has one at most.
-- Reply: the steady time; an array with the index from 0 and the version of each report whose agent was not on this task
-- before; the indexes of those whose agent does not work here, which were not taken; the indexes of those whose agent's
-- location should be renewed.
-- A version is the microsecond of Redis's clock, and always greater than the one before. The zsets of agents last seen
-- only count them, and lag by LAG; the exact time an agent was last seen is its version, unless the clock stepped back.
local LAG, RENEWAL = 5000000, 86400000000
local reports, names = cmsgpack.unpack(ARGV[3]), {}
for i = 1, #reports / 3 do names[i] = reports[3 * i - 2] end
local known, stamp, now_text = redis.call('HMGET', AGENTS_KEY, unpack(names)), text(wall), text(now)
local started, unknown, renewed = {}, {}, {}
local records, latest, waiting, seen, first_due = {}, {}, {}, {}, math.huge

local function take(i, name, agent)
  local task, n = reports[3 * i - 1], #latest
  local is_new, before = agent.task ~= task, agent.version
  agent.version = math.max(wall, before + 1)
  local version, due = agent.version == wall and stamp or text(agent.version), math.max(now, agent.next_allowed)
  if is_new then
    agent.task, agent.task_version = task, agent.version
    started[#started + 1], started[#started + 2] = i - 1, version
  end
  if is_new or before < wall - wall % LAG or before > wall then
    seen[#seen + 1], seen[#seen + 2] = stamp, name
  end
  if before < wall - wall % RENEWAL then renewed[#renewed + 1] = i - 1 end
  records[n + 1], records[n + 2] = name, format_agent(agent)
  latest[n + 1], latest[n + 2] = name, reports[3 * i] .. ',"version":"' .. version .. '"}'
  waiting[n + 1], waiting[n + 2] = due == now and now_text or text(due), name
  first_due = math.min(first_due, due)
end

for i, name in ipairs(names) do
  local agent = parse_agent(known[i])
  if agent.is_here then take(i, name, agent) else unknown[#unknown + 1] = i - 1 end
end
if #latest > 0 then
  redis.call('HSET', AGENTS_KEY, unpack(records))
  redis.call('HSET', LATEST_KEY, unpack(latest))
  redis.call('ZADD', WAITING_KEY, 'NX', unpack(waiting))
  if redis.call('HEXISTS', STATE_KEY, 'batch_seq') == 1 then
    redis.call('ZADD', BATCH_WAITING_KEY, 'NX', unpack(waiting))
  end
  redis.call('ZADD', DUE_KEY, 'LT', text(first_due), ID)
end
if #seen > 0 then
  for _, key in ipairs({LAST_SEEN_KEY, BUSY_KEY, ALL_LAST_SEEN_KEY, ALL_BUSY_KEY}) do redis.call('ZADD', key, unpack(seen)) end
  touch_room()
end
return {text(now), started, unknown, renewed}
