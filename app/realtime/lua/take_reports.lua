-- Shared: take RUNNING reports of a room; each replaces the waiting update of its agent. Needs agents.lua.
-- Values: started, unknown, renewed, as in the reply of report.lua. Functions: begin_reply, take_reports.
-- A version is the microsecond of Redis's clock, and always greater than the one before. The zsets of agents last seen
-- only count them, and lag by LAG; the exact time an agent was last seen is its version, unless the clock stepped back.
local LAG, RENEWAL = 5000000, 86400000000
local FORM = '^((%d+) %d+ )(%d+)( %d+ )(%d+ ([01]) )(.*)$'  -- parse_agent would double the cost
local stamp, tick, day = text(wall), wall - wall % LAG, wall - wall % RENEWAL
local now_text, started, unknown, renewed, count  -- of a partition
local records, latest, waiting, seen, first_due   -- of a room

local function begin_reply() now_text, started, unknown, renewed, count = text(now), {}, {}, {}, 0 end

local function take(index, name, task, data, record)
  local head, next_allowed, before, task_version, tail, here, task_before = (record or UNKNOWN):match(FORM)
  if here == '0' then return table.insert(unknown, index) end
  before = tonumber(before)
  local version, is_new, n = before < wall and stamp or text(before + 1), task_before ~= task, #latest + 1
  local due = math.max(now, tonumber(next_allowed), first_allowed())
  if is_new then
    task_version = ' ' .. version .. ' '
    started[#started + 1], started[#started + 2] = index, version
  end
  if is_new or before < tick or before > wall then seen[#seen + 1], seen[#seen + 2] = stamp, name end
  if before < day then renewed[#renewed + 1] = index end
  records[n], latest[n], waiting[n] = name, name, due == now and now_text or text(due)
  records[n + 1] = head .. version .. task_version .. tail .. task
  latest[n + 1], waiting[n + 1] = data .. ',"version":"' .. version .. '"}', name
  if due < first_due then first_due = due end
end

local function write()
  redis.call('HSET', AGENTS_KEY, unpack(records))
  redis.call('HSET', LATEST_KEY, unpack(latest))
  redis.call('ZADD', WAITING_KEY, 'NX', unpack(waiting))
  if redis.call('HEXISTS', STATE_KEY, 'batch_seq') == 1 then
    redis.call('ZADD', BATCH_WAITING_KEY, 'NX', unpack(waiting))
  end
  redis.call('ZADD', DUE_KEY, 'LT', text(first_due), ID)
  count_change()
  if #seen == 0 then return end
  local counts = {LAST_SEEN_KEY, BUSY_KEY, ALL_LAST_SEEN_KEY, ALL_BUSY_KEY}
  for _, key in ipairs(counts) do redis.call('ZADD', key, unpack(seen)) end
  touch_room()
end

-- `reports` has the agent, task and data (a JSON object without its closing brace) of each; each agent has one.
local function take_reports(reports)
  local names = {}
  records, latest, waiting, seen, first_due = {}, {}, {}, {}, math.huge
  for i = 1, #reports / 3 do names[i] = reports[3 * i - 2] end
  local known = redis.call('HMGET', AGENTS_KEY, unpack(names))
  for i, name in ipairs(names) do take(count + i - 1, name, reports[3 * i - 1], reports[3 * i], known[i]) end
  count = count + #names
  if #latest > 0 then write() end
end
