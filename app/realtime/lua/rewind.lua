-- Set a room back to the position of its database, which is older than the room: drop the room's queue, which may hold
-- changes that no longer exist, and make its clients fetch the state.
-- ARGV: as room.lua, then the names below.
-- Reply: as reply() of drain_room.lua.
local id, position = unpack(ARGV, 5)
local K = 'room:' .. id
if tonumber(redis.call('GET', K .. ':outbox') or 0) <= tonumber(position) then return reply() end
redis.call('SET', K .. ':outbox', position)
drop_oldest(id, K, 0)
allocate_seqs(K .. ':seq', 1)
if has_batched_view(id) then allocate_seqs(K .. ':batch_seq', 1) end
redis.call('PUBLISH', CONTROL_CHANNEL, '{"method":"resync","protocolId":"' .. id .. '"}')
drain_room(id)
return reply()
