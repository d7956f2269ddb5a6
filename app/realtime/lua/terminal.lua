-- Shared: the terminal updates, which wait outside of the room's queue until it has space. Needs queue.lua.
-- Values: terminal_due. Functions: first_due, complete_terminal, queue_terminal_updates.
local function first_due(key) return tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]) end

local terminal_due  -- nil if none waits

-- The agent's terminal update was emitted or dropped: its next update may leave at `due`.
local function complete_terminal(name, due)
  local agent = read_agent(name)
  agent.next_allowed = math.max(due, agent.next_allowed)
  agent.pending = math.max(0, agent.pending - 1)
  save_agent(name, agent)
  if redis.call('HEXISTS', TERMINAL_UPDATES_KEY, name) == 1 then
    redis.call('ZADD', TERMINAL_KEY, text(agent.next_allowed), name)
    terminal_due = math.min(terminal_due or math.huge, agent.next_allowed)
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

-- Until it joins the queue, a terminal update pushes nothing out and is not pushed out.
local function queue_terminal_updates()
  local free = QUEUE_CAPACITY - queue_length
  if free <= 0 or not terminal_due or terminal_due > now then return end
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', TERMINAL_KEY, '-inf', text(now), 'LIMIT', 0, free)) do
    redis.call('ZREM', TERMINAL_KEY, name)
    enqueue(name, 'agent:task_update', take_terminal_update(name))
  end
  terminal_due = first_due(TERMINAL_KEY)
end
