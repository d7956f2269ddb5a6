-- Shared: the keys of an operation on an agent's location: its key, and the clock of its partition. ARGV[1] is a room's
-- protocol id.
local AGENT_KEY, CLOCK_KEY, ID = KEYS[1], KEYS[2], ARGV[1]
