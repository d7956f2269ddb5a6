-- Shared: one room's turn. Finals that are due join the queue, the queue leaves as the budget allows, and when it is
-- empty the RUNNING updates follow, the longest waiting agent first. Needs room.lua, batch.lua and idle.lua.
-- An agent's `closing` counts its finals that have yet to leave, waiting or queued.

-- The agent's final has left (or was dropped): it may speak again at `due`, in whichever room its next final is for.
local function release(agent, due)
  redis.call('HSET', 'agents:due', agent, text(due))
  if redis.call('HINCRBY', 'agents:closing', agent, -1) <= 0 then redis.call('HDEL', 'agents:closing', agent) end
  local final = redis.call('LINDEX', 'agent:' .. agent .. ':finals', 0)
  if final then
    local id = final:match('^%S+')
    redis.call('ZADD', 'room:' .. id .. ':finals', text(due), agent)
    redis.call('ZADD', 'rooms:due', 'LT', text(due), id)
  end
end

-- Finals join the queue while it has room: what waits here pushes nothing out, and is not pushed out.
local function admit_finals(id, K)
  local free = CAPACITY - redis.call('LLEN', K .. ':queue')
  if free <= 0 then return end
  for _, agent in ipairs(redis.call('ZRANGEBYSCORE', K .. ':finals', '-inf', text(now), 'LIMIT', 0, free)) do
    redis.call('ZREM', K .. ':finals', agent)
    local final = redis.call('LPOP', 'agent:' .. agent .. ':finals')
    if final then enqueue(id, agent, 'agent:task_update', TEMPLATE, final:match('^%S+ (.*)$')) end
  end
end

local function emit_queue(id, K)
  if redis.call('EXISTS', K .. ':queue') == 0 then return end
  local free = budget(K)
  local events = free > 0 and redis.call('LPOP', K .. ':queue', free) or {}
  if #events == 0 then return end
  spend(K, #events)
  local absent = has_absent(id)
  for _, queued in ipairs(events) do
    local seq, batch_seq, agent, event, message = queued:match('^(%S+) (%S+) (%S+) (%S+) (.*)$')
    local reached = publish('', id, seq, message)
    if batch_seq ~= '-' then reached = reached + publish('~', id, batch_seq, message) end
    sent(id, seq, event, reached, absent)
    if agent ~= '-' then release(agent, now + GAP) end
  end
end

-- Those of the longest waiting agents that may speak now; the others are put off until they may.
local function speakers(K, most)
  local ready, waiting = {}, redis.call('ZRANGEBYSCORE', K .. ':running', '-inf', text(now), 'LIMIT', 0, most)
  if #waiting == 0 then return ready end
  local dues = redis.call('HMGET', 'agents:due', unpack(waiting))
  local closings = redis.call('HMGET', 'agents:closing', unpack(waiting))
  for i, agent in ipairs(waiting) do
    local due, closing = tonumber(dues[i] or 0), tonumber(closings[i] or 0)
    if closing > 0 then due = math.max(due, now) + closing * GAP end  -- never before its finals
    if due > now then redis.call('ZADD', K .. ':running', text(due), agent) else table.insert(ready, agent) end
  end
  return ready
end

local function emit_running(id, K)
  if redis.call('EXISTS', K .. ':queue') == 1 or redis.call('EXISTS', K .. ':running') == 0 then return end
  local free = budget(K)
  local agents = free > 0 and speakers(K, free) or {}
  if #agents == 0 then return end
  spend(K, #agents)
  redis.call('ZREM', K .. ':running', unpack(agents))
  local news, seq, absent = redis.call('HMGET', K .. ':latest', unpack(agents)), take_seqs(K, #agents), has_absent(id)
  local head, middle, tail = message_of(id, TEMPLATE, '\3'):gsub('\2', ''):match('^(.*)\1(.*)\3(.*)$')
  local channel, due, dues = CHANNEL .. id, text(now + GAP), {}
  local in_batches = batched(id) and 1 or 0  -- those listeners hear of it with the next batch
  for i, agent in ipairs(agents) do
    local number = text(seq + i - 1)
    local reached = in_batches + redis.call('PUBLISH', channel, head .. number .. middle .. news[i] .. tail)
    sent(id, number, 'agent:task_update', reached, absent)
    dues[2 * i - 1], dues[2 * i] = agent, due
    out.waits[#out.waits + 1] = text(math.max(0, wall - version_of(news[i])))
  end
  redis.call('HSET', 'agents:due', unpack(dues))
end

local function trim(id, K, capacity)
  while redis.call('LLEN', K .. ':queue') > capacity do
    local seq, _, agent, event = redis.call('LPOP', K .. ':queue'):match('^(%S+) (%S+) (%S+) (%S+) ')
    table.insert(out.dropped, table.concat({id, seq, event}, ' '))
    redis.call('HINCRBY', 'rooms:dropped', id, 1)
    redis.call('ZADD', 'rooms:dropped:at', text(wall), id)
    if agent ~= '-' then release(agent, now) end
  end
end

-- Note when the room is due next, and pace it while something waits for its budget.
local function reschedule(id, K, next_batch)
  local ready, due = ready_at(K), nil
  local running = redis.call('ZRANGE', K .. ':running', 0, 0, 'WITHSCORES')[2]
  local finals = redis.call('ZRANGE', K .. ':finals', 0, 0, 'WITHSCORES')[2]
  local backlog = redis.call('EXISTS', K .. ':queue') == 1
  local held = backlog or (running and tonumber(running) <= now)
  if held then
    due = ready
    redis.call('SET', K .. ':pace', text(ready), 'NX')
  else
    redis.call('DEL', K .. ':pace')
    if running then due = math.max(tonumber(running), ready) end
  end
  if finals then due = math.min(due or math.huge, backlog and math.max(tonumber(finals), ready) or tonumber(finals)) end
  if next_batch then due = math.min(due or math.huge, math.max(next_batch, ready)) end
  if due then redis.call('ZADD', 'rooms:due', text(due), id) else redis.call('ZREM', 'rooms:due', id) end
end

local function turn(id)
  local K = 'room:' .. id
  admit_finals(id, K)
  emit_queue(id, K)
  trim(id, K, CAPACITY)
  local next_batch = emit_batch(id, K)
  emit_running(id, K)
  reschedule(id, K, next_batch)
end

local function answer()
  local counts = {}
  for event, count in pairs(out.emitted) do table.insert(counts, event .. ' ' .. count) end
  local next_room = redis.call('ZRANGE', 'rooms:due', 0, 0, 'WITHSCORES')
  return {counts, out.undelivered, out.dropped, out.waits, next_room[2] or '', text(now + clock() - wall)}
end
