-- Shared: the keys of a room and of its partition, in the order of ROOM_PARTS in app/realtime/redis_keys.py; a script
-- that needs only the first ones is given only those. ARGV[1] is the room's protocol id.
local ID = ARGV[1]
local STATE_KEY, AGENTS_KEY, LATEST_KEY, WAITING_KEY, LAST_SEEN_KEY, BUSY_KEY, BATCH_WAITING_KEY = unpack(KEYS, 1, 7)
local DUE_KEY, CLOCK_KEY, ROOMS_KEY, ALL_LAST_SEEN_KEY, ALL_BUSY_KEY = unpack(KEYS, 8, 12)
local WINDOW_KEY, QUEUE_KEY, TERMINAL_KEY, TERMINAL_UPDATES_KEY = unpack(KEYS, 13, 16)
local RELAYED_KEY, DISCONNECTED_KEY, DROPPED_KEY = unpack(KEYS, 17, 19)
