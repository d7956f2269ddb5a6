-- Shared: events on the channels of a room. Needs room.lua. A published message is 'type seq milliseconds data'.
-- Values: outcome, TIMESTAMP. Functions: open_channels, has_batch_listeners, has_batched_view, publish, count_emitted,
-- record_delivery.
-- The batched view of a room is for connections that joined with `agentBatches`. It has sequence numbers of its own,
-- because it carries other events. Once somebody has joined it, its events are numbered also while nobody listens, so
-- that a web process notices a gap after its connection to Redis was interrupted.
local TIMESTAMP = text(math.floor(wall / 1000))
local outcome = {emitted = {}, undelivered = {}, dropped = {}, waits = {}}
local channel, batch_channel, batch_listeners, is_missed

local function open_channels()
  channel, batch_listeners, is_missed = STATE_KEY:sub(1, -#':state' - 1), nil, nil
  batch_channel = channel:sub(1, -#ID - 1) .. '~' .. ID
end

local function has_batch_listeners()
  batch_listeners = batch_listeners or redis.call('PUBSUB', 'SHARDNUMSUB', batch_channel)[2]
  return batch_listeners > 0
end

-- If Redis lost the view's number while it has listeners, the view starts again with the waiting agents.
local function has_batched_view()
  if room.batch_seq then return true end
  if not has_batch_listeners() then return false end
  allocate_seqs('batch_seq', 0)
  redis.call('ZUNIONSTORE', BATCH_WAITING_KEY, 1, WAITING_KEY)
  return true
end

local function publish(to, event, seq, timestamp, data)
  return redis.call('SPUBLISH', to, event .. ' ' .. seq .. ' ' .. timestamp .. ' ' .. data)
end

local function count_emitted(event, count) outcome.emitted[event] = (outcome.emitted[event] or 0) + count end

-- Record an event as undelivered if no process received it or a client lost its connection lately.
local function record_delivery(seq, event, receivers)
  if is_missed == nil then is_missed = redis.call('EXISTS', DISCONNECTED_KEY) == 1 end
  if receivers == 0 or is_missed then
    table.insert(outcome.undelivered, table.concat({ID, seq, event, receivers}, ' '))
  end
end
