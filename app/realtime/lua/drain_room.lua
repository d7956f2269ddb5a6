-- Shared: drain one room. Terminal updates that are due join the queue, the queue leaves as the budget allows, and when
-- it is empty the waiting RUNNING updates follow, the longest waiting agent first. Needs room.lua, batch.lua and
-- set_idle.lua. `agents:pending_terminal` counts an agent's terminal updates that have yet to leave, queued or not.

-- The agent's terminal update was emitted or dropped: its next one may leave at `due`, in the room it belongs to.
local function complete_terminal(agent, due)
  redis.call('HSET', 'agents:next_allowed', agent, text(due))
  if redis.call('HINCRBY', 'agents:pending_terminal', agent, -1) <= 0 then
    redis.call('HDEL', 'agents:pending_terminal', agent)
  end
  local following = redis.call('LINDEX', 'agent:' .. agent .. ':terminal', 0)
  if following then
    local id = following:match('^%S+')
    redis.call('ZADD', 'room:' .. id .. ':terminal', text(due), agent)
    redis.call('ZADD', 'rooms:due', 'LT', text(due), id)
  end
end

-- Terminal updates join the queue while it has space: until then they push nothing out and are not pushed out.
local function queue_terminal_updates(id, K)
  local free = QUEUE_CAPACITY - redis.call('LLEN', K .. ':queue')
  if free <= 0 then return end
  for _, agent in ipairs(redis.call('ZRANGEBYSCORE', K .. ':terminal', '-inf', text(now), 'LIMIT', 0, free)) do
    redis.call('ZREM', K .. ':terminal', agent)
    local update = redis.call('LPOP', 'agent:' .. agent .. ':terminal')
    if update then enqueue(id, agent, 'agent:task_update', TEMPLATE, update:match('^%S+ (.*)$')) end
  end
end

local function emit_queue(id, K)
  if redis.call('EXISTS', K .. ':queue') == 0 then return end
  local free = remaining_budget(K)
  local events = free > 0 and redis.call('LPOP', K .. ':queue', free) or {}
  if #events == 0 then return end
  spend_budget(K, #events)
  local is_missed = has_disconnected_clients(id)
  for _, queued in ipairs(events) do
    local seq, batch_seq, agent, event, message = queued:match('^(%S+) (%S+) (%S+) (%S+) (.*)$')
    local receivers = publish('', id, seq, message)
    if batch_seq ~= '-' then receivers = receivers + publish('~', id, batch_seq, message) end
    record_emitted(id, seq, event, receivers, is_missed)
    if agent ~= '-' then complete_terminal(agent, now + AGENT_INTERVAL) end
  end
end

-- Those of the `most` longest waiting agents whose update may leave now; the others are put off until it may.
local function allowed_agents(K, most)
  local allowed, waiting = {}, redis.call('ZRANGEBYSCORE', K .. ':waiting', '-inf', text(now), 'LIMIT', 0, most)
  if #waiting == 0 then return allowed end
  local next_allowed = redis.call('HMGET', 'agents:next_allowed', unpack(waiting))
  local pending_terminal = redis.call('HMGET', 'agents:pending_terminal', unpack(waiting))
  for i, agent in ipairs(waiting) do
    local due, pending = tonumber(next_allowed[i] or 0), tonumber(pending_terminal[i] or 0)
    if pending > 0 then due = math.max(due, now) + pending * AGENT_INTERVAL end  -- never before its terminal updates
    if due > now then redis.call('ZADD', K .. ':waiting', text(due), agent) else table.insert(allowed, agent) end
  end
  return allowed
end

local function emit_waiting(id, K)
  if redis.call('EXISTS', K .. ':queue') == 1 or redis.call('EXISTS', K .. ':waiting') == 0 then return end
  local free = remaining_budget(K)
  local agents = free > 0 and allowed_agents(K, free) or {}
  if #agents == 0 then return end
  spend_budget(K, #agents)
  redis.call('ZREM', K .. ':waiting', unpack(agents))
  local latest, first_seq = redis.call('HMGET', K .. ':latest', unpack(agents)), allocate_seqs(K .. ':seq', #agents)
  local head, middle, tail = build_message(id, TEMPLATE, '\3'):gsub('\2', ''):match('^(.*)\1(.*)\3(.*)$')
  local channel, is_missed, due, next_allowed = CHANNEL .. id, has_disconnected_clients(id), text(now + AGENT_INTERVAL), {}
  local batch_receivers = has_batch_listeners(id) and 1 or 0  -- they receive it with the next batch
  for i, agent in ipairs(agents) do
    local seq = text(first_seq + i - 1)
    local receivers = batch_receivers + redis.call('PUBLISH', channel, head .. seq .. middle .. latest[i] .. tail)
    record_emitted(id, seq, 'agent:task_update', receivers, is_missed)
    next_allowed[2 * i - 1], next_allowed[2 * i] = agent, due
    outcome.waits[#outcome.waits + 1] = text(math.max(0, wall - version_of(latest[i])))
  end
  redis.call('HSET', 'agents:next_allowed', unpack(next_allowed))
end

local function drop_oldest(id, K, capacity)
  while redis.call('LLEN', K .. ':queue') > capacity do
    local seq, _, agent, event = redis.call('LPOP', K .. ':queue'):match('^(%S+) (%S+) (%S+) (%S+) ')
    table.insert(outcome.dropped, table.concat({id, seq, event}, ' '))
    redis.call('HINCRBY', 'rooms:dropped', id, 1)
    redis.call('ZADD', 'rooms:dropped:at', text(wall), id)
    if agent ~= '-' then complete_terminal(agent, now) end
  end
end

-- Record when the room is due next; pace it while an event waits for budget.
local function schedule_room(id, K, next_batch)
  local ready, due = ready_at(K), nil
  local waiting = tonumber(redis.call('ZRANGE', K .. ':waiting', 0, 0, 'WITHSCORES')[2])
  local terminal = tonumber(redis.call('ZRANGE', K .. ':terminal', 0, 0, 'WITHSCORES')[2])
  local has_queue = redis.call('EXISTS', K .. ':queue') == 1
  if has_queue or (waiting and waiting <= now) then
    due = ready
    redis.call('SET', K .. ':pacing', text(ready), 'NX')
  else
    redis.call('DEL', K .. ':pacing')
    if waiting then due = math.max(waiting, ready) end
  end
  if terminal then due = math.min(due or math.huge, has_queue and math.max(terminal, ready) or terminal) end
  if next_batch then due = math.min(due or math.huge, math.max(next_batch, ready)) end
  if due then redis.call('ZADD', 'rooms:due', text(due), id) else redis.call('ZREM', 'rooms:due', id) end
end

local function drain_room(id)
  local K = 'room:' .. id
  queue_terminal_updates(id, K)
  emit_queue(id, K)
  drop_oldest(id, K, QUEUE_CAPACITY)
  local next_batch = emit_batch(id, K)
  emit_waiting(id, K)
  schedule_room(id, K, next_batch)
end

-- The reply of the operations that emit: counts by event type, undelivered, dropped, waits of RUNNING updates (µs), when
-- the next room is due or '', the steady time (µs).
local function reply()
  local counts = {}
  for event, count in pairs(outcome.emitted) do table.insert(counts, event .. ' ' .. count) end
  local next_room = redis.call('ZRANGE', 'rooms:due', 0, 0, 'WITHSCORES')
  local time = text(now + wall_clock() - wall)
  return {counts, outcome.undelivered, outcome.dropped, outcome.waits, next_room[2] or '', time}
end
