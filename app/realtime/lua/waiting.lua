-- Shared: the RUNNING and IDLE updates, which wait outside of the queue, one for each agent. Needs queue.lua.
-- Functions: emit_waiting.

-- Those of the `most` longest waiting agents whose update may leave now, each with what follows `next_allowed` in its
-- record; the others are put off until it may.
local function allowed_agents(most)
  local names, rests = {}, {}
  local waiting = redis.call('ZRANGEBYSCORE', WAITING_KEY, '-inf', text(now), 'LIMIT', 0, most)
  local records = #waiting > 0 and redis.call('HMGET', AGENTS_KEY, unpack(waiting)) or {}
  for i, name in ipairs(waiting) do
    local next_allowed, rest, pending = (records[i] or UNKNOWN):match('^(%d+)( (%d+).*)$')
    local due = math.max(tonumber(next_allowed), first_allowed())
    if pending ~= '0' then due = math.max(due, now) + pending * AGENT_INTERVAL end  -- after its terminal updates
    if due > now then
      redis.call('ZADD', WAITING_KEY, text(due), name)
    else
      names[#names + 1], rests[#rests + 1] = name, rest
    end
  end
  return names, rests
end

-- How many RUNNING updates may leave now. They do so evenly, so that the queue never finds the whole budget spent on
-- them; a late drain makes up for at most two.
local function paced_budget()
  local free = remaining_budget()
  if free == 0 or not room.pacing then return free end
  return math.min(free, math.max(0, math.min(3, 1 + math.floor((now - room.pacing) / PACING_INTERVAL))))
end

local function emit_waiting()
  local free = queue_length == 0 and paced_budget() or 0
  if free <= 0 then return end
  local names, rests = allowed_agents(free)
  if #names == 0 then return end
  spend_budget(#names)
  redis.call('ZREM', WAITING_KEY, unpack(names))
  local latest, first_seq, records = redis.call('HMGET', LATEST_KEY, unpack(names)), allocate_seqs('seq', #names), {}
  local batch_receivers = has_batch_listeners() and 1 or 0  -- they receive it with the next batch
  local next_allowed = text(now + AGENT_INTERVAL)
  count_emitted('agent:task_update', #names)
  for i, name in ipairs(names) do
    local seq = text(first_seq + i - 1)
    local receivers = publish(channel, 'agent:task_update', seq, TIMESTAMP, latest[i])
    record_delivery(seq, 'agent:task_update', receivers + batch_receivers)
    records[2 * i - 1], records[2 * i] = name, next_allowed .. rests[i]
    outcome.waits[#outcome.waits + 1] = text(math.max(0, wall - version_of(latest[i])))
  end
  redis.call('HSET', AGENTS_KEY, unpack(records))
end
