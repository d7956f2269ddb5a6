-- Shared: drain the room. Terminal updates that are due join the queue, the queue leaves as the budget allows, and when
-- it is empty the waiting RUNNING updates follow, the longest waiting agent first. Needs terminal.lua, batch.lua
-- and waiting.lua. Functions: open_room, drain_room, reply.

-- Begin with a room, as select_room; the first one is open already.
local function open_room(id, last_key)
  select_room(id, last_key)
  read_room()
  open_channels()
  queue_length, terminal_due = redis.call('LLEN', QUEUE_KEY), first_due(TERMINAL_KEY)
end

-- Record when the room is due next; pace it while an event waits for budget.
local function schedule_room(next_batch)
  local ready, due, waiting = ready_at(), nil, first_due(WAITING_KEY)
  local has_queue = queue_length > 0
  if has_queue or (waiting and waiting <= now) then
    due = ready
    room.pacing = room.pacing or ready
  else
    room.pacing = nil
    if waiting then due = math.max(waiting, ready) end
  end
  if terminal_due then
    due = math.min(due or math.huge, has_queue and math.max(terminal_due, ready) or terminal_due)
  end
  if next_batch then due = math.min(due or math.huge, math.max(next_batch, ready)) end
  if due then redis.call('ZADD', DUE_KEY, text(due), ID) else redis.call('ZREM', DUE_KEY, ID) end
end

local function drain_room()
  queue_terminal_updates()
  emit_queue(complete_terminal)
  drop_oldest(QUEUE_CAPACITY, complete_terminal)
  local next_batch = emit_batch()
  emit_waiting()
  schedule_room(next_batch)
  save_room()
end

-- The reply of the operations that emit: the steady time (µs); how long until a room of the partition is due (µs) or
-- ''; counts by event type, undelivered and dropped events with their rooms, how long RUNNING updates waited (µs).
local function reply()
  local counts, due = {}, first_due(DUE_KEY)
  for event, count in pairs(outcome.emitted) do table.insert(counts, event .. ' ' .. count) end
  local delay = due and text(math.max(0, due - now)) or ''
  return {text(now), delay, counts, outcome.undelivered, outcome.dropped, outcome.waits}
end

open_room(ID, 6)
