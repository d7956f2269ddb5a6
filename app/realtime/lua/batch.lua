-- Shared: the batched view of a room: once a second the newest RUNNING update of every agent that changed, as one event.
-- ARGV[3] is the message template of agent:task_updates.
local BATCH_TEMPLATE, MOST_UPDATES = ARGV[3], 1000

-- Updates newer than `since`, the oldest first; none of an agent whose closing event has yet to leave.
local function changed_since(K, since)
  local found, latest = {}, redis.call('HGETALL', K .. ':latest')
  for i = 1, #latest, 2 do
    local version = tonumber(latest[i + 1]:match('"version":"(%d+)"}$'))
    if version > since and latest[i + 1]:find('"status":"RUNNING"', 1, true) then
      if not redis.call('HGET', 'agents:closing', latest[i]) then
        table.insert(found, {version, latest[i + 1]})
      end
    end
  end
  table.sort(found, function(a, b) return a[1] < b[1] end)
  return found
end

-- Answers when the next batch may leave, nil when nothing is left to tell.
local function emit_batch(id, K, now)
  if not batched(id) then return nil end
  local last = tonumber(redis.call('HGET', K .. ':batch', 'at') or 0)
  if now < last + GAP then return last + GAP end
  if redis.call('EXISTS', K .. ':queue') == 1 or ready_at(K) > now then return now end
  local changed = changed_since(K, tonumber(redis.call('HGET', K .. ':batch', 'upto') or 0))
  if #changed == 0 then return nil end
  local updates = {}
  for i = 1, math.min(#changed, MOST_UPDATES) do updates[i] = changed[i][2] end
  redis.call('HSET', K .. ':batch', 'at', text(now), 'upto', text(changed[#updates][1]))
  spend(K, now, 1)
  out.emitted['agent:task_updates'] = (out.emitted['agent:task_updates'] or 0) + 1
  publish('~', id, text(take_seqs('room:~' .. id, now, 1)),
    message_of(id, now, BATCH_TEMPLATE, '{"updates":[' .. table.concat(updates, ',') .. ']}'))
  return now + GAP
end
