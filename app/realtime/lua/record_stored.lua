-- Shared: whether a stored event was emitted into its room before. Each event has an identity of its own, because a
-- database restored from an older copy gives the same outbox positions to other events. Functions: record_stored.
local MAX_IDENTITIES = 500

-- Returns 'new' after recording the event, 'repeated', or 'behind' if the room has a later position but not this event.
local function record_stored(position, identity)
  if redis.call('LPOS', RELAYED_KEY, identity) then return 'repeated' end
  if tonumber(position) <= tonumber(redis.call('HGET', STATE_KEY, 'outbox') or 0) then
    -- Release 0.1 recorded no identities: its room has emitted every event up to its position.
    return redis.call('EXISTS', RELAYED_KEY) == 1 and 'behind' or 'repeated'
  end
  redis.call('LPUSH', RELAYED_KEY, identity)
  redis.call('LTRIM', RELAYED_KEY, 0, MAX_IDENTITIES - 1)
  redis.call('HSET', STATE_KEY, 'outbox', position)
  return 'new'
end
