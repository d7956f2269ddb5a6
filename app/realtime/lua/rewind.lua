-- Set a room back to the position of its database, which is older than the room: drop the room's queue, which may hold
-- changes that no longer exist. The gap in its numbers makes its clients fetch the state.
-- KEYS: all of keys.lua. ARGV: protocol id, expected steady time, position.
-- Reply: as reply() of drain_room.lua.
local position = ARGV[3]
if tonumber(redis.call('HGET', STATE_KEY, 'outbox') or 0) <= tonumber(position) then return reply() end
redis.call('HSET', STATE_KEY, 'outbox', position)
drop_oldest(0, complete_terminal)
touch_room()
allocate_seqs('seq', 1)
if has_batched_view() then allocate_seqs('batch_seq', 1) end
drain_room()
return reply()
