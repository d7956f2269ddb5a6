-- Emit one event into its room: number it, queue it, publish what the budget allows, drop the oldest beyond 100.
-- ARGV: as room.lua, then the names below; position and identity are '' for an event that is not stored.
-- Reply: as reply() of drain_room.lua; 'behind' if the database is older than the room. A stored event that was emitted
-- before changes nothing.
local id, position, identity, event_type, template, data = unpack(ARGV, 5)
if position ~= '' then
  local found = record_stored('room:' .. id, position, identity)
  if found == 'behind' then return found end
  if found == 'repeated' then return reply() end
end
enqueue(id, '-', event_type, template, data)
drain_room(id)
return reply()
