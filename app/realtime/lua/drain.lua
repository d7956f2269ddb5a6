-- Drain rooms of a partition, one after the other.
-- KEYS: all of keys.lua. ARGV: protocol id, expected steady time, then the protocol ids of further rooms.
-- Reply: as reply() of drain_room.lua.
local KEYS_OF_ROOM = 13
drain_room()
for i = 3, #ARGV do
  open_room(ARGV[i], 6 + (i - 2) * KEYS_OF_ROOM)
  drain_room()
end
return reply()
