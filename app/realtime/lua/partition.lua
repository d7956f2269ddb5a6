-- Shared: the keys of an operation on a partition: its clock, its rooms by due time, and its agents by when last seen.
local CLOCK_KEY, DUE_KEY, _, LAST_SEEN_KEY, BUSY_KEY = unpack(KEYS, 1, 5)
