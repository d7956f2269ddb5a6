-- Shared: the keys of a partition and of its rooms, in the order of app/realtime/redis_keys.py: those of the partition,
-- then those of each room. ARGV[1] is the protocol id of the first room. Functions: select_room.
local CLOCK_KEY, DUE_KEY, ROOMS_KEY, ALL_LAST_SEEN_KEY, ALL_BUSY_KEY, DROPPED_KEY = unpack(KEYS, 1, 6)
local ID, STATE_KEY, AGENTS_KEY, LATEST_KEY, WAITING_KEY, LAST_SEEN_KEY, BUSY_KEY, BATCH_WAITING_KEY
local WINDOW_KEY, QUEUE_KEY, TERMINAL_KEY, TERMINAL_UPDATES_KEY, RELAYED_KEY, DISCONNECTED_KEY

-- A script that needs only the first keys of a room is given only those. `last_key` is that of the room before.
local function select_room(id, last_key)
  ID = id
  STATE_KEY, AGENTS_KEY, LATEST_KEY, WAITING_KEY, LAST_SEEN_KEY, BUSY_KEY, BATCH_WAITING_KEY, WINDOW_KEY, QUEUE_KEY,
    TERMINAL_KEY, TERMINAL_UPDATES_KEY, RELAYED_KEY, DISCONNECTED_KEY = unpack(KEYS, last_key + 1, last_key + 13)
end

select_room(ARGV[1], 6)
