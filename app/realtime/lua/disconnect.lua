-- Record that a client lost its connection, in one step, so that no key is left that never expires.
-- KEYS: the room's disconnected. ARGV: the client, its time (s), how many clients are kept, and for how long (s).
-- Reply: 1.
local client, at, most, lifetime = unpack(ARGV)
redis.call('ZADD', KEYS[1], at, client)
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -most - 1)
return redis.call('EXPIRE', KEYS[1], lifetime)
