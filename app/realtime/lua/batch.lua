-- Shared: the batched view of a room: once a second the newest RUNNING or IDLE update of every agent that changed, as
-- one event.
-- ARGV[3] is the message template of agent:task_updates.
local BATCH_TEMPLATE, MOST_UPDATES = ARGV[3], 1000

-- Updates of the agents that changed, the longest waiting first. One whose closing event has yet to leave stays for a
-- later batch; one that has closed since needs none.
local function take_changed(K)
  local agents, updates, done = redis.call('ZRANGE', K .. ':changed', 0, MOST_UPDATES - 1), {}, {}
  if #agents == 0 then return updates end
  local latest = redis.call('HMGET', K .. ':latest', unpack(agents))
  local closings = redis.call('HMGET', 'agents:closing', unpack(agents))
  for i, agent in ipairs(agents) do
    if not closings[i] then
      if latest[i] and (latest[i]:find('"status":"RUNNING"', 1, true) or latest[i]:find('"status":"IDLE"', 1, true)) then table.insert(updates, latest[i]) end
      table.insert(done, agent)
    end
  end
  if #done > 0 then redis.call('ZREM', K .. ':changed', unpack(done)) end
  return updates
end

-- Answers when the next batch may leave, nil when nothing is left to tell.
local function emit_batch(id, K)
  if not batched(id) or not has_batched_view(id) then return nil end
  local last = tonumber(redis.call('HGET', K .. ':batch', 'at') or 0)
  if now < last + GAP then return last + GAP end
  if redis.call('EXISTS', K .. ':queue') == 1 or ready_at(K) > now then return now end
  local updates = take_changed(K)
  if #updates == 0 then return nil end
  redis.call('HSET', K .. ':batch', 'at', text(now))
  spend(K, 1)
  out.emitted['agent:task_updates'] = (out.emitted['agent:task_updates'] or 0) + 1
  publish('~', id, text(take_seqs('room:~' .. id, 1)),
    message_of(id, BATCH_TEMPLATE, '{"updates":[' .. table.concat(updates, ',') .. ']}'))
  return now + GAP
end
