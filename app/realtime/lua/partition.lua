-- Shared: the keys of an operation on a partition: its clock, and the rooms that are due.
local CLOCK_KEY, DUE_KEY = KEYS[1], KEYS[2]
