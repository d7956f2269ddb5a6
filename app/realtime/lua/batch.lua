-- Shared: the batched view of a room, one event a second with the newest RUNNING or IDLE update of every agent that
-- changed. Needs room.lua.
local MAX_BATCH_UPDATES = 1000

local function is_running_or_idle(data)
  return data:find('"status":"RUNNING"', 1, true) or data:find('"status":"IDLE"', 1, true)
end

-- Remove and return the updates of changed agents, the longest waiting first. An agent whose terminal update has yet to
-- leave stays for a later batch; an agent that has finished since needs no update.
local function take_batch_updates(K)
  local agents, updates, done = redis.call('ZRANGE', K .. ':batch_waiting', 0, MAX_BATCH_UPDATES - 1), {}, {}
  if #agents == 0 then return updates end
  local latest = redis.call('HMGET', K .. ':latest', unpack(agents))
  local pending = redis.call('HMGET', 'agents:pending_terminal', unpack(agents))
  for i, agent in ipairs(agents) do
    if not pending[i] then
      if latest[i] and is_running_or_idle(latest[i]) then table.insert(updates, latest[i]) end
      table.insert(done, agent)
    end
  end
  if #done > 0 then redis.call('ZREM', K .. ':batch_waiting', unpack(done)) end
  return updates
end

-- Returns when the next batch may leave, or nil if no update waits for one.
local function emit_batch(id, K)
  if not has_batch_listeners(id) or not has_batched_view(id) then return nil end
  local last = tonumber(redis.call('HGET', K .. ':batch', 'at') or 0)
  if now < last + AGENT_INTERVAL then return last + AGENT_INTERVAL end
  if redis.call('EXISTS', K .. ':queue') == 1 or ready_at(K) > now then return now end
  local updates = take_batch_updates(K)
  if #updates == 0 then return nil end
  redis.call('HSET', K .. ':batch', 'at', text(now))
  spend_budget(K, 1)
  outcome.emitted['agent:task_updates'] = (outcome.emitted['agent:task_updates'] or 0) + 1
  publish('~', id, text(allocate_seqs(K .. ':batch_seq', 1)),
    build_message(id, BATCH_TEMPLATE, '{"updates":[' .. table.concat(updates, ',') .. ']}'))
  return now + AGENT_INTERVAL
end
