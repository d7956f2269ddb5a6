-- Record that an agent works in another room from now on.
-- KEYS: the agent's key, the clock of its partition. ARGV: protocol id of the room, expected steady time, then the
-- names below: the least epoch, and the version of the update that moves it, or ''.
-- Reply: the steady time; the epoch of the move, '' if the agent has moved after that version; how long the agent may
-- not be told of because this memory does not know its last room (µs); and the rooms it has to leave.
-- A stored update moves its agent at its own version, so that the start of the next task in another room moves it on.
-- A crash between the steps of a move leaves the earlier rooms in `previous`, so that the next move repeats them.
local MAX_PREVIOUS, LIFETIME = 8, 8 * 86400000
local least_epoch, version = tonumber(ARGV[3]), tonumber(ARGV[4])
local room, epoch, previous = unpack(redis.call('HMGET', AGENT_KEY, 'room', 'epoch', 'previous'))
epoch = tonumber(epoch or 0)
if version and epoch > version then return {text(now), '', '0'} end
local to_leave = {}
for id in ((previous or '') .. ' ' .. (room or '')):gmatch('%S+') do
  if id ~= ID then table.insert(to_leave, id) end
end
while #to_leave > MAX_PREVIOUS do table.remove(to_leave, 1) end
epoch = text(math.max(version or wall, least_epoch + 1, epoch + 1))
redis.call('HSET', AGENT_KEY, 'room', ID, 'epoch', epoch, 'previous', table.concat(to_leave, ' '))
redis.call('PEXPIRE', AGENT_KEY, LIFETIME)
return {text(now), epoch, text(math.max(0, born + 1010000 - now)), unpack(to_leave)}
