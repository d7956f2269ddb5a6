-- Let one event into its room: number it, send what the budget allows, drop the oldest beyond 100.
-- ARGV: channel prefix, agent template, batch template, expected steady time or '', protocol id, outbox position or '',
--   identity of the stored event or '', event type, template, data (JSON)
-- Answer: counts by event type, undelivered, dropped, waits, when the next room is due, the steady time (µs);
-- nothing is done when this stored event was let in before. 'behind' when the database is older than the room.
local id, position = ARGV[5], ARGV[6]
if position ~= '' then
  local found = note_stored('room:' .. id, position, ARGV[7])
  if found == 'behind' then return found end
  if found == 'repeated' then return answer() end
end
enqueue(id, '-', ARGV[8], ARGV[9], ARGV[10])
turn(id)
return answer()
