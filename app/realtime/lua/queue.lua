-- Shared: the room's queue, and the terminal updates, which wait outside of it until it has space. Needs publish.lua.
-- Functions: queue_terminal_updates, emit_queue, drop_oldest.

-- The agent's terminal update was emitted or dropped: its next update may leave at `due`.
local function complete_terminal(name, due)
  local agent = read_agent(name)
  agent.next_allowed = math.max(due, agent.next_allowed)
  agent.pending = math.max(0, agent.pending - 1)
  save_agent(name, agent)
  if redis.call('HEXISTS', TERMINAL_UPDATES_KEY, name) == 1 then
    redis.call('ZADD', TERMINAL_KEY, text(agent.next_allowed), name)
  end
end

-- Remove and return the first waiting terminal update of an agent; each takes a line.
local function take_terminal_update(name)
  local first, rest = redis.call('HGET', TERMINAL_UPDATES_KEY, name):match('^([^\n]*)\n?(.*)$')
  if rest == '' then
    redis.call('HDEL', TERMINAL_UPDATES_KEY, name)
  else
    redis.call('HSET', TERMINAL_UPDATES_KEY, name, rest)
  end
  return first
end

-- Terminal updates join the queue while it has space: until then they push nothing out and are not pushed out.
local function queue_terminal_updates()
  local free = QUEUE_CAPACITY - redis.call('LLEN', QUEUE_KEY)
  if free <= 0 then return end
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', TERMINAL_KEY, '-inf', text(now), 'LIMIT', 0, free)) do
    redis.call('ZREM', TERMINAL_KEY, name)
    enqueue(name, 'agent:task_update', take_terminal_update(name))
  end
end

local function emit_queue()
  local free = redis.call('EXISTS', QUEUE_KEY) == 1 and remaining_budget() or 0
  local events = free > 0 and redis.call('LPOP', QUEUE_KEY, free) or {}
  if #events > 0 then spend_budget(#events) end
  for _, queued in ipairs(events) do
    local seq, batch_seq, name, event, timestamp, data = queued:match('^(%S+) (%S+) (%S+) (%S+) (%S+) (.*)$')
    local receivers = publish(CHANNEL, event, seq, timestamp, data)
    if batch_seq ~= '-' then receivers = receivers + publish(BATCH_CHANNEL, event, batch_seq, timestamp, data) end
    record_emitted(seq, event, receivers)
    if name ~= '-' then complete_terminal(name, now + AGENT_INTERVAL) end
  end
end

local function drop_oldest(capacity)
  while redis.call('LLEN', QUEUE_KEY) > capacity do
    local seq, _, name, event = redis.call('LPOP', QUEUE_KEY):match('^(%S+) (%S+) (%S+) (%S+) ')
    table.insert(outcome.dropped, seq .. ' ' .. event)
    redis.call('HINCRBY', STATE_KEY, 'dropped', 1)
    redis.call('ZADD', DROPPED_KEY, text(wall), ID)
    if name ~= '-' then complete_terminal(name, now) end
  end
end
