-- Take RUNNING reports of agents that work in rooms of partitions.
-- KEYS: of each partition those of keys.lua that a report needs. ARGV: of each partition the protocol id of its first
-- room, the expected steady time, and a MessagePack array with the id and the array of reports (take_reports.lua) of
-- each of its rooms.
-- Reply: for each partition the steady time; then, unless all are empty: an array with the index from 0 and the version
-- of each report whose agent was not on this task before; the indexes of those whose agent does not work there, which
-- were not taken; the indexes of those whose agent's location should be renewed.
local KEYS_OF_PARTITION, KEYS_OF_ROOM = 6, 7
local replies, last_key = {}, 0
for i = 1, #ARGV, 3 do
  if i > 1 then
    CLOCK_KEY, DUE_KEY, ROOMS_KEY, ALL_LAST_SEEN_KEY, ALL_BUSY_KEY = unpack(KEYS, last_key + 1, last_key + 5)
    read_clock(ARGV[i + 1])
  end
  last_key = last_key + KEYS_OF_PARTITION
  begin_reply()
  local rooms = cmsgpack.unpack(ARGV[i + 2])
  for j = 1, #rooms, 2 do
    select_room(rooms[j], last_key)
    take_reports(rooms[j + 1])
    last_key = last_key + KEYS_OF_ROOM
  end
  local is_empty = #started + #unknown + #renewed == 0
  replies[#replies + 1] = is_empty and {now_text} or {now_text, started, unknown, renewed}
end
return replies
