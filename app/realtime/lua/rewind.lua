-- The database is older than what a room was told: forget what waits in its queue, which may tell of changes that are
-- gone, and have its clients fetch the state.
-- ARGV: channel prefix, agent template, batch template, expected steady time or '', protocol, position in the database
-- Answer: as emit.lua
local id, position = ARGV[5], ARGV[6]
local K = 'room:' .. id
if tonumber(redis.call('GET', K .. ':outbox') or 0) <= tonumber(position) then return answer() end
redis.call('SET', K .. ':outbox', position)
trim(id, K, 0)
take_seqs(K, 1)
if has_batched_view(id) then take_seqs('room:~' .. id, 1) end
redis.call('PUBLISH', CONTROL, '{"method":"resync","protocolId":"' .. id .. '"}')
turn(id)
return answer()
