-- Shared: one room's turn. Finals that are due join the queue, the queue leaves as the budget allows, and when it is
-- empty the RUNNING updates follow, the longest waiting agent first. Needs room.lua; TEMPLATE makes an agent's message.

-- The agent's event has left (or was dropped): it may speak again at `due`, in whichever rooms it waits.
local function release(agent, due)
  redis.call('HSET', 'agent:' .. agent, 'due', text(due))
  redis.call('HDEL', 'agent:' .. agent, 'inflight')
  local final = redis.call('LINDEX', 'agent:' .. agent .. ':finals', 0)
  if final then
    local id = final:match('^%S+')
    redis.call('ZADD', 'room:' .. id .. ':finals', text(due), agent)
    redis.call('ZADD', 'rooms:due', 'LT', text(due), id)
  end
end

local function admit_finals(id, K, now)
  for _, agent in ipairs(redis.call('ZRANGEBYSCORE', K .. ':finals', '-inf', text(now), 'LIMIT', 0, CAPACITY)) do
    redis.call('ZREM', K .. ':finals', agent)
    local final = redis.call('LPOP', 'agent:' .. agent .. ':finals')
    if final then
      redis.call('HSET', 'agent:' .. agent, 'inflight', '1')
      enqueue(id, now, agent, 'agent:task_update', TEMPLATE, final:match('^%S+ (.*)$'))
    end
  end
end

local function emit_queue(id, K, now)
  while redis.call('EXISTS', K .. ':queue') == 1 and ready_at(K) <= now do
    local seq, batch_seq, agent, event, message =
      redis.call('LPOP', K .. ':queue'):match('^(%S+) (%S+) (%S+) (%S+) (.*)$')
    spend(K, now)
    send(id, seq, event, message)
    if batch_seq ~= '-' then publish('~', id, batch_seq, message) end
    if agent ~= '-' then release(agent, now + GAP) end
  end
end

-- When this agent's RUNNING update may leave: never before the finals it has waiting.
local function agent_ready_at(agent, now)
  local state = redis.call('HMGET', 'agent:' .. agent, 'due', 'inflight')
  local due = tonumber(state[1] or 0)
  local finals = redis.call('LLEN', 'agent:' .. agent .. ':finals')
  if state[2] or finals > 0 then return math.max(due, now) + math.max(finals, 1) * GAP end
  return due
end

local function emit_running(id, K, now)
  while redis.call('EXISTS', K .. ':queue') == 0 and ready_at(K) <= now do
    local head = redis.call('ZRANGEBYSCORE', K .. ':running', '-inf', text(now), 'WITHSCORES', 'LIMIT', 0, 1)
    if not head[1] then return end
    local at = agent_ready_at(head[1], now)
    if at > now then
      redis.call('ZADD', K .. ':running', text(at), head[1])
    else
      local data = redis.call('HGET', K .. ':latest', head[1])
      redis.call('ZREM', K .. ':running', head[1])
      if data then
        local seq = next_seq(K, now)
        spend(K, now)
        send(id, seq, 'agent:task_update', message_of(id, now, TEMPLATE, data))
        release(head[1], now + GAP)
        table.insert(out.waits, text(now - tonumber(data:match('"version":"(%d+)"}$'))))
      end
    end
  end
end

local function trim(id, K, now)
  while redis.call('LLEN', K .. ':queue') > CAPACITY do
    local seq, _, agent, event = redis.call('LPOP', K .. ':queue'):match('^(%S+) (%S+) (%S+) (%S+) ')
    table.insert(out.dropped, table.concat({id, seq, event}, ' '))
    if agent ~= '-' then release(agent, now) end
  end
end

-- Note when the room is due next, and pace it while something waits for its budget.
local function reschedule(id, K, now, next_batch)
  local ready, due = ready_at(K), nil
  local running = redis.call('ZRANGE', K .. ':running', 0, 0, 'WITHSCORES')[2]
  local finals = redis.call('ZRANGE', K .. ':finals', 0, 0, 'WITHSCORES')[2]
  local backlog = redis.call('EXISTS', K .. ':queue') == 1
  local held = backlog or (running and tonumber(running) <= now)
  if held then
    due = ready
    redis.call('SET', K .. ':pace', text(ready), 'NX', 'PX', 5000)
  else
    redis.call('DEL', K .. ':pace')
    if running then due = math.max(tonumber(running), ready) end
  end
  if finals then due = math.min(due or math.huge, tonumber(finals)) end
  if next_batch then due = math.min(due or math.huge, math.max(next_batch, ready)) end
  if due then redis.call('ZADD', 'rooms:due', text(due), id) else redis.call('ZREM', 'rooms:due', id) end
end

local function turn(id, now)
  local K = 'room:' .. id
  admit_finals(id, K, now)
  emit_queue(id, K, now)
  trim(id, K, now)
  local next_batch = emit_batch(id, K, now)
  emit_running(id, K, now)
  reschedule(id, K, now, next_batch)
end

local function answer()
  local counts = {}
  for event, count in pairs(out.emitted) do table.insert(counts, event .. ' ' .. count) end
  local next_room = redis.call('ZRANGE', 'rooms:due', 0, 0, 'WITHSCORES')
  return {counts, out.undelivered, out.dropped, out.waits, next_room[2] or '', text(clock())}
end
