-- Shared: numbering, limit and queue of one room, whose keys begin with K = 'room:{id}'. Times are steady times.
-- ARGV begins with the channel prefix, the message templates of agent:task_update and agent:task_updates, and the
-- expected steady time or ''.
local CHANNEL, TEMPLATE, BATCH_TEMPLATE, EXPECTED_TIME = unpack(ARGV, 1, 4)
local CONTROL_CHANNEL = 'dashboard:control'
local LIMIT, WINDOW = 10, 1025000  -- events in any window; 25 ms over a second, so that the client's clock agrees
local PACING_INTERVAL = 102500     -- between two events of a room with a queue
local QUEUE_CAPACITY = 100         -- events in a room's queue
local AGENT_INTERVAL = 1010000     -- between two updates of one agent; a script's clock runs ahead of its PUBLISH
local wall = wall_clock()
local now = advance_steady_clock(wall, tonumber(EXPECTED_TIME))
local outcome = {emitted = {}, undelivered = {}, dropped = {}, waits = {}}

local function iso_timestamp(time)  -- civil date from days since 1970 (Howard Hinnant's algorithm)
  local seconds = math.floor(time / 1000000)
  local z = math.floor(seconds / 86400) + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  local day = seconds % 86400
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, doy - math.floor((153 * mp + 2) / 5) + 1,
    math.floor(day / 3600), math.floor(day % 3600 / 60), day % 60, math.floor(time % 1000000 / 1000))
end

-- Allocate `count` sequence numbers and return the first. A new room counts from 1 (read_seq.lua); a room whose number
-- Redis lost goes on from the clock in milliseconds, far above the old number.
local function allocate_seqs(key, count)
  if redis.call('EXISTS', key) == 0 then redis.call('SET', key, text(math.floor(wall / 1000))) end
  return redis.call('INCRBY', key, count) - count + 1
end

-- When the room may emit again: its tenth newest event has left the window, and pacing allows it.
local function ready_at(K)
  local oldest = redis.call('LINDEX', K .. ':window', LIMIT - 1)
  local pacing = tonumber(redis.call('GET', K .. ':pacing') or 0)
  return math.max(oldest and tonumber(oldest) + WINDOW or 0, pacing)
end

-- How many events the room may emit now. A paced room whose drain was late makes up for at most two events.
local function remaining_budget(K)
  local free = LIMIT
  for _, at in ipairs(redis.call('LRANGE', K .. ':window', 0, LIMIT - 1)) do
    if tonumber(at) + WINDOW > now then free = free - 1 end
  end
  local pacing = tonumber(redis.call('GET', K .. ':pacing') or 0)
  if pacing == 0 then return free end
  return math.min(free, math.max(0, math.min(3, 1 + math.floor((now - pacing) / PACING_INTERVAL))))
end

local function spend_budget(K, count)
  local times, at = {}, text(now)
  for i = 1, count do times[i] = at end
  redis.call('LPUSH', K .. ':window', unpack(times))
  redis.call('LTRIM', K .. ':window', 0, LIMIT - 1)
  local pacing = redis.call('GET', K .. ':pacing')
  if pacing then
    local from = math.max(tonumber(pacing), now - 2 * PACING_INTERVAL)
    redis.call('SET', K .. ':pacing', text(from + count * PACING_INTERVAL))
  end
end

-- The batched view of a room, channel '~{id}', is for connections that joined with `agentBatches`. It has sequence
-- numbers of its own because it carries other events. Once somebody has joined it, its events are numbered also while
-- nobody listens, so that a web process notices a gap after its connection to Redis was interrupted.
local function has_batch_listeners(id) return redis.call('PUBSUB', 'NUMSUB', CHANNEL .. '~' .. id)[2] > 0 end

-- If Redis lost the view's number while it has listeners, the view starts again with the waiting agents.
local function has_batched_view(id)
  local K = 'room:' .. id
  if redis.call('EXISTS', K .. ':batch_seq') == 1 then return true end
  if not has_batch_listeners(id) then return false end
  allocate_seqs(K .. ':batch_seq', 0)
  redis.call('ZUNIONSTORE', K .. ':batch_waiting', 1, K .. ':waiting')
  return true
end

-- A queued message has two placeholders until it is published: \1 for the sequence number, \2 for the view ('' or '~').
local function build_message(id, template, data)
  local values = {room = '\2' .. id, protocol = id, timestamp = iso_timestamp(wall), seq = '\1', data = data}
  return (template:gsub('@(%l+)@', values))
end

local function publish(view, id, seq, message)
  return redis.call('PUBLISH', CHANNEL .. view .. id, (message:gsub('[\1\2]', {['\1'] = seq, ['\2'] = view})))
end

-- Whether a client lost its connection to the room within the last minutes.
local function has_disconnected_clients(id)
  return redis.call('EXISTS', 'room:' .. id .. ':disconnected') == 1
end

-- Record an event as emitted; also as undelivered if no process received it or, `is_missed`, a disconnected client did not.
local function record_emitted(id, seq, event, receivers, is_missed)
  outcome.emitted[event] = (outcome.emitted[event] or 0) + 1
  if receivers == 0 or is_missed then
    table.insert(outcome.undelivered, table.concat({id, seq, event, receivers}, ' '))
  end
end

-- A queued event is 'seq batch_seq agent event message'; '-' in place of the agent or the batched view's number.
local function enqueue(id, agent, event, template, data)
  local K = 'room:' .. id
  local seq = text(allocate_seqs(K .. ':seq', 1))
  local batch_seq = has_batched_view(id) and text(allocate_seqs(K .. ':batch_seq', 1)) or '-'
  local message = build_message(id, template, data)
  redis.call('RPUSH', K .. ':queue', table.concat({seq, batch_seq, agent, event, message}, ' '))
end
