-- Shared: whether a stored event was let into its room before. Each is known by an identity of its own, since a database
-- that was restored from an older copy gives the same outbox positions to other events.
local REMEMBERED = 500

-- Answers 'new' after noting the event, 'repeated', or 'behind': the room knows later positions, but not this event.
local function note_stored(K, position, identity)
  if redis.call('LPOS', K .. ':relayed', identity) then return 'repeated' end
  if tonumber(position) <= tonumber(redis.call('GET', K .. ':outbox') or 0) then return 'behind' end
  redis.call('LPUSH', K .. ':relayed', identity)
  redis.call('LTRIM', K .. ':relayed', 0, REMEMBERED - 1)
  redis.call('SET', K .. ':outbox', position)
  return 'new'
end
