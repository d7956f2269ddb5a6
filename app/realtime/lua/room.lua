-- Shared: one room's number, budget and queue. A room's keys hang on K = 'room:{id}'; times are of the steady clock.
-- ARGV begins with the channel prefix, the message templates of agent events and batches, and the expected steady time.
local CHANNEL, TEMPLATE, CONTROL = ARGV[1], ARGV[2], 'dashboard:control'
local wall = clock()
local now = advance(wall, tonumber(ARGV[4]))
local LIMIT, WINDOW = 10, 1025000   -- events in any window; 25 ms over a second, so that a client's clock agrees
local PACE = 102500                 -- between two events of a backlogged room
local CAPACITY = 100                -- events that may wait in a room's queue
local GAP = 1010000                 -- between two updates of one agent; a script's clock runs ahead of its PUBLISH
local out = {emitted = {}, undelivered = {}, dropped = {}, waits = {}}

local function iso(time)  -- civil date from days since 1970 (Howard Hinnant's algorithm)
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

-- The first of `count` new numbers. A room that was never numbered counts from 1 (seq.lua); one whose number Redis
-- forgot goes on from the clock, far above.
local function take_seqs(K, count)
  if redis.call('EXISTS', K .. ':seq') == 0 then redis.call('SET', K .. ':seq', text(math.floor(wall / 1000))) end
  return redis.call('INCRBY', K .. ':seq', count) - count + 1
end

-- When the room may send again: its tenth newest event has left the window, and its pace allows it.
local function ready_at(K)
  local oldest = redis.call('LINDEX', K .. ':sent', LIMIT - 1)
  local pace = tonumber(redis.call('GET', K .. ':pace') or 0)
  return math.max(oldest and tonumber(oldest) + WINDOW or 0, pace)
end

-- How many events the room may send now. A paced room that had no turn for a while makes up for two at most.
local function budget(K)
  local free = LIMIT
  for _, at in ipairs(redis.call('LRANGE', K .. ':sent', 0, LIMIT - 1)) do
    if tonumber(at) + WINDOW > now then free = free - 1 end
  end
  local pace = tonumber(redis.call('GET', K .. ':pace') or 0)
  if pace == 0 then return free end
  return math.min(free, math.max(0, math.min(3, 1 + math.floor((now - pace) / PACE))))
end

local function spend(K, count)
  local times, at = {}, text(now)
  for i = 1, count do times[i] = at end
  redis.call('LPUSH', K .. ':sent', unpack(times))
  redis.call('LTRIM', K .. ':sent', 0, LIMIT - 1)
  local pace = redis.call('GET', K .. ':pace')
  if pace then
    local from = math.max(tonumber(pace), now - 2 * PACE)
    redis.call('SET', K .. ':pace', text(from + count * PACE))
  end
end

local function fill(template, values) return (template:gsub('@(%l+)@', values)) end

-- A second view of a room, '~{id}', is for connections that want agents in batches. It has numbers of its own, since
-- it carries other events. Once somebody joined it events are numbered also while nobody listens: a web process that is
-- cut off for a moment finds a gap.
local function batched(id) return redis.call('PUBSUB', 'NUMSUB', CHANNEL .. '~' .. id)[2] > 0 end

-- Where Redis forgot the view while it has listeners, it begins anew with the agents that wait.
local function has_batched_view(id)
  if redis.call('EXISTS', 'room:~' .. id .. ':seq') == 1 then return true end
  if not batched(id) then return false end
  take_seqs('room:~' .. id, 0)
  redis.call('ZUNIONSTORE', 'room:' .. id .. ':changed', 1, 'room:' .. id .. ':running')
  return true
end

-- A message keeps two places open until it is sent: \1 the sequence number, \2 the mark of the view.
local function publish(view, id, seq, message)
  return redis.call('PUBLISH', CHANNEL .. view .. id, (message:gsub('[\1\2]', {['\1'] = seq, ['\2'] = view})))
end

-- Note an event as sent, and as undelivered when nobody listened or somebody who should is known to be absent.
local function sent(id, seq, event, reached, absent)
  out.emitted[event] = (out.emitted[event] or 0) + 1
  if reached == 0 or absent then table.insert(out.undelivered, table.concat({id, seq, event, reached}, ' ')) end
end

local function has_absent(id) return redis.call('EXISTS', 'room:' .. id .. ':absent') == 1 end

local function message_of(id, template, data)
  return fill(template, {room = '\2' .. id, protocol = id, timestamp = iso(wall), seq = '\1', data = data})
end

-- A queued event is 'seq batchseq agent event message'; '-' stands for no agent, and for no batched view.
local function enqueue(id, agent, event, template, data)
  local seq = text(take_seqs('room:' .. id, 1))
  local batch_seq = has_batched_view(id) and text(take_seqs('room:~' .. id, 1)) or '-'
  local message = message_of(id, template, data)
  redis.call('RPUSH', 'room:' .. id .. ':queue', table.concat({seq, batch_seq, agent, event, message}, ' '))
end
