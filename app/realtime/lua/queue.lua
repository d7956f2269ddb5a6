-- Shared: the room's queue. Needs publish.lua. A queued event is 'seq batch_seq agent type milliseconds data', with '-'
-- without an agent or a batched view. Values: queue_length. Functions: enqueue, emit_queue, drop_oldest.
local queue_length

local function enqueue(agent, event, data)
  local seq = text(allocate_seqs('seq', 1))
  local batch_seq = has_batched_view() and text(allocate_seqs('batch_seq', 1)) or '-'
  local queued = table.concat({seq, batch_seq, agent, event, TIMESTAMP, data}, ' ')
  queue_length = redis.call('RPUSH', QUEUE_KEY, queued)
end

local function take_queued(count)
  local events = redis.call('LPOP', QUEUE_KEY, count) or {}
  queue_length = queue_length - #events
  return events
end

-- `completed(agent, due)` is called for each terminal update.
local function emit_queue(completed)
  local free = queue_length > 0 and remaining_budget() or 0
  if free <= 0 then return end
  local events = take_queued(free)
  spend_budget(#events)
  for _, queued in ipairs(events) do
    local seq, batch_seq, name, event, timestamp, data = queued:match('^(%S+) (%S+) (%S+) (%S+) (%S+) (.*)$')
    local receivers = publish(channel, event, seq, timestamp, data)
    if batch_seq ~= '-' then receivers = receivers + publish(batch_channel, event, batch_seq, timestamp, data) end
    count_emitted(event, 1)
    record_delivery(seq, event, receivers)
    if name ~= '-' then completed(name, now + AGENT_INTERVAL) end
  end
end

local function drop_oldest(capacity, completed)
  if queue_length <= capacity then return end
  for _, queued in ipairs(take_queued(queue_length - capacity)) do
    local seq, _, name, event = queued:match('^(%S+) (%S+) (%S+) (%S+) ')
    table.insert(outcome.dropped, table.concat({ID, seq, event}, ' '))
    redis.call('HINCRBY', STATE_KEY, 'dropped', 1)
    redis.call('ZADD', DROPPED_KEY, text(wall), ID)
    if name ~= '-' then completed(name, now) end
  end
end
