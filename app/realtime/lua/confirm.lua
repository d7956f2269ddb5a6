-- Record that an agent has left its earlier rooms, unless it has moved again.
-- KEYS: the agent's key. ARGV: the epoch of its move.
if redis.call('HGET', KEYS[1], 'epoch') == ARGV[1] then redis.call('HSET', KEYS[1], 'previous', '') end
