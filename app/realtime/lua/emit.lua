-- Emit one event into its room: number it, queue it, publish what the budget allows, drop the oldest beyond 100.
-- KEYS: all of keys.lua. ARGV: protocol id, expected steady time, then the names below; position and identity are ''
-- for an event that is not stored.
-- Reply: as reply() of drain_room.lua; 'behind' after the time if the database is older than the room. A stored event
-- that was emitted before changes nothing.
local position, identity, event, data = unpack(ARGV, 3)
if position ~= '' then
  local found = record_stored(position, identity)
  if found == 'behind' then return {text(now), found} end
  if found == 'repeated' then return reply() end
end
enqueue('-', event, data)
touch_room()
drain_room()
return reply()
