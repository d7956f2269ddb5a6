-- Take RUNNING reports: each replaces what its agent has waiting in that room; it leaves with a later turn.
-- ARGV: for each report: agent, protocol, task, data (JSON object without its closing brace)
-- Answer: for each report its version, then '1' when the agent was not on this task before, '0' when it was.
-- The version is the clock's microsecond, and always more than the one before.
local now, result, heard, rooms = clock(), {}, {}, {}
for i = 1, #ARGV, 4 do
  local agent, id = ARGV[i], ARGV[i + 1]
  local A, on = 'agent:' .. agent, id .. ' ' .. ARGV[i + 2]
  local was = redis.call('HMGET', A, 'version', 'on', 'due')
  local version = text(math.max(now, tonumber(was[1] or 0) + 1))
  redis.call('HSET', A, 'version', version, 'on', on)
  local room = rooms[id] or {latest = {}, running = {}, due = math.huge}
  rooms[id] = room
  local due, n = math.max(now, tonumber(was[3] or 0)), #room.latest
  room.latest[n + 1], room.latest[n + 2] = agent, ARGV[i + 3] .. ',"version":"' .. version .. '"}'
  room.running[n + 1], room.running[n + 2] = text(due), agent
  room.due = math.min(room.due, due)
  heard[#heard + 1] = text(now)
  heard[#heard + 1] = agent
  result[#result + 1] = version
  result[#result + 1] = was[2] == on and '0' or '1'
end
redis.call('ZADD', 'agents:heard', unpack(heard))
redis.call('ZADD', 'agents:busy', unpack(heard))
for id, room in pairs(rooms) do
  redis.call('HSET', 'room:' .. id .. ':latest', unpack(room.latest))
  redis.call('ZADD', 'room:' .. id .. ':running', 'NX', unpack(room.running))
  redis.call('ZADD', 'rooms:due', 'LT', text(room.due), id)
end
return result
