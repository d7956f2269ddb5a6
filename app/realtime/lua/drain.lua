-- Drain a room.
-- KEYS: all of keys.lua. ARGV: protocol id, expected steady time.
-- Reply: as reply() of drain_room.lua.
drain_room()
return reply()
