-- Take RUNNING reports of agents that work in the room: each replaces the waiting update of its agent, which a later
-- drain emits. The cost of a batch is its number of calls: one for each key, not for each report.
-- KEYS: those of keys.lua that a report needs. ARGV: protocol id, expected steady time, MessagePack array with the
-- agent, task and data (a JSON object without its closing brace) of each report; an agent has one at most.
-- Reply: the steady time; an array with the index from 0 and the version of each report whose agent was not on this
-- task before; the indexes of those whose agent does not work here, which were not taken; the indexes of those whose
-- agent's location should be renewed.
-- A version is the microsecond of Redis's clock, and always greater than the one before. The zsets of agents last seen
-- only count them, and lag by LAG; the exact time an agent was last seen is its version, unless the clock stepped back.
local LAG, RENEWAL = 5000000, 86400000000
local FORM = '^((%d+) %d+ )(%d+)( %d+ )(%d+ ([01]) )(.*)$'  -- parse_agent would double the cost
local reports, names = cmsgpack.unpack(ARGV[3]), {}
for i = 1, #reports / 3 do names[i] = reports[3 * i - 2] end
local known, stamp, now_text = redis.call('HMGET', AGENTS_KEY, unpack(names)), text(wall), text(now)
local tick, day, first_due = wall - wall % LAG, wall - wall % RENEWAL, math.huge
local started, unknown, renewed, records, latest, waiting, seen = {}, {}, {}, {}, {}, {}, {}

local function take(i, name, record)
  local head, next_allowed, before, task_version, tail, here, task_before = record:match(FORM)
  if here == '0' then return table.insert(unknown, i - 1) end
  before = tonumber(before)
  local task, version, n = reports[3 * i - 1], before < wall and stamp or text(before + 1), #latest
  local is_new, due = task_before ~= task, math.max(now, tonumber(next_allowed), FIRST_ALLOWED)
  if is_new then
    task_version = ' ' .. version .. ' '
    started[#started + 1], started[#started + 2] = i - 1, version
  end
  if is_new or before < tick or before > wall then seen[#seen + 1], seen[#seen + 2] = stamp, name end
  if before < day then renewed[#renewed + 1] = i - 1 end
  records[n + 1], records[n + 2] = name, head .. version .. task_version .. tail .. task
  latest[n + 1], latest[n + 2] = name, reports[3 * i] .. ',"version":"' .. version .. '"}'
  waiting[n + 1], waiting[n + 2] = due == now and now_text or text(due), name
  if due < first_due then first_due = due end
end

for i, name in ipairs(names) do take(i, name, known[i] or UNKNOWN) end
if #latest > 0 then
  redis.call('HSET', AGENTS_KEY, unpack(records))
  redis.call('HSET', LATEST_KEY, unpack(latest))
  redis.call('ZADD', WAITING_KEY, 'NX', unpack(waiting))
  if redis.call('HEXISTS', STATE_KEY, 'batch_seq') == 1 then
    redis.call('ZADD', BATCH_WAITING_KEY, 'NX', unpack(waiting))
  end
  redis.call('ZADD', DUE_KEY, 'LT', text(first_due), ID)
  count_change()
end
if #seen > 0 then
  local counts = {LAST_SEEN_KEY, BUSY_KEY, ALL_LAST_SEEN_KEY, ALL_BUSY_KEY}
  for _, key in ipairs(counts) do redis.call('ZADD', key, unpack(seen)) end
  touch_room()
end
return {text(now), started, unknown, renewed}
