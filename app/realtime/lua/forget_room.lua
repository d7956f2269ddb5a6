-- Delete a room in which nothing happened for long and nothing waits; the database knows its protocol, and its numbers
-- go on from the clock.
-- KEYS: all of keys.lua. ARGV: protocol id, '', silence (µs).
-- Reply: the steady time, 1 if it was deleted, else 0.
local at = tonumber(redis.call('ZSCORE', ROOMS_KEY, ID))
if not at or at > wall - ARGV[3] or redis.call('ZSCORE', DUE_KEY, ID) then return {text(now), 0} end
redis.call('DEL', STATE_KEY, AGENTS_KEY, LATEST_KEY, WAITING_KEY, LAST_SEEN_KEY, BUSY_KEY, BATCH_WAITING_KEY,
  WINDOW_KEY, QUEUE_KEY, TERMINAL_KEY, TERMINAL_UPDATES_KEY, RELAYED_KEY, DISCONNECTED_KEY)
for _, key in ipairs({DUE_KEY, ROOMS_KEY, DROPPED_KEY}) do redis.call('ZREM', key, ID) end
return {text(now), 1}
