-- Shared: the batched view of a room, one event a second with the newest RUNNING or IDLE update of every agent that
-- changed. Needs queue.lua. Functions: emit_batch.
local MAX_BATCH_UPDATES = 1000

local function is_running_or_idle(data)
  return data:find('"status":"RUNNING"', 1, true) or data:find('"status":"IDLE"', 1, true)
end

-- Remove and return the updates of changed agents, the longest waiting first. An agent whose terminal update has yet to
-- leave stays for a later batch; an agent that has finished since needs no update.
local function take_batch_updates()
  local agents, updates, done = redis.call('ZRANGE', BATCH_WAITING_KEY, 0, MAX_BATCH_UPDATES - 1), {}, {}
  if #agents == 0 then return updates end
  local latest = redis.call('HMGET', LATEST_KEY, unpack(agents))
  local records = redis.call('HMGET', AGENTS_KEY, unpack(agents))
  for i, agent in ipairs(agents) do
    if parse_agent(records[i]).pending == 0 then
      if latest[i] and is_running_or_idle(latest[i]) then table.insert(updates, latest[i]) end
      table.insert(done, agent)
    end
  end
  if #done > 0 then redis.call('ZREM', BATCH_WAITING_KEY, unpack(done)) end
  return updates
end

-- Returns when the next batch may leave, or nil if no update waits for one.
local function emit_batch()
  if not has_batch_listeners() or not has_batched_view() then return nil end
  local next_batch = (room.batch_at or 0) + AGENT_INTERVAL
  if now < next_batch then return next_batch end
  if queue_length > 0 or ready_at() > now then return now end
  local updates = take_batch_updates()
  if #updates == 0 then return nil end
  room.batch_at = now
  spend_budget(1)
  count_emitted('agent:task_updates', 1)
  local data = '{"updates":[' .. table.concat(updates, ',') .. ']}'
  publish(batch_channel, 'agent:task_updates', text(allocate_seqs('batch_seq', 1)), TIMESTAMP, data)
  return now + AGENT_INTERVAL
end
