-- Shared: the RUNNING and IDLE updates, which wait outside of the queue, one for each agent. Needs publish.lua.
-- Functions: emit_waiting.

-- Those of the `most` longest waiting agents whose update may leave now; the others are put off until it may.
local function allowed_agents(most)
  local names, agents = {}, {}
  local waiting = redis.call('ZRANGEBYSCORE', WAITING_KEY, '-inf', text(now), 'LIMIT', 0, most)
  local records = #waiting > 0 and redis.call('HMGET', AGENTS_KEY, unpack(waiting)) or {}
  for i, name in ipairs(waiting) do
    local agent = parse_agent(records[i])
    local due = agent.next_allowed
    if agent.pending > 0 then due = math.max(due, now) + agent.pending * AGENT_INTERVAL end  -- after its terminal updates
    if due > now then
      redis.call('ZADD', WAITING_KEY, text(due), name)
    else
      names[#names + 1], agents[#agents + 1] = name, agent
    end
  end
  return names, agents
end

local function emit_waiting()
  if redis.call('EXISTS', QUEUE_KEY) == 1 or redis.call('EXISTS', WAITING_KEY) == 0 then return end
  local free = remaining_budget()
  if free <= 0 then return end
  local names, agents = allowed_agents(free)
  if #names == 0 then return end
  spend_budget(#names)
  redis.call('ZREM', WAITING_KEY, unpack(names))
  local latest, first_seq, records = redis.call('HMGET', LATEST_KEY, unpack(names)), allocate_seqs('seq', #names), {}
  local batch_receivers = has_batch_listeners() and 1 or 0  -- they receive it with the next batch
  for i, name in ipairs(names) do
    local seq, agent = text(first_seq + i - 1), agents[i]
    local receivers = publish(CHANNEL, 'agent:task_update', seq, TIMESTAMP, latest[i])
    record_emitted(seq, 'agent:task_update', receivers + batch_receivers)
    agent.next_allowed = now + AGENT_INTERVAL
    records[2 * i - 1], records[2 * i] = name, format_agent(agent)
    outcome.waits[#outcome.waits + 1] = text(math.max(0, wall - version_of(latest[i])))
  end
  redis.call('HSET', AGENTS_KEY, unpack(records))
end
