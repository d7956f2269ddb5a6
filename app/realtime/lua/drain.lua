-- Drain the rooms that are due, the longest due first.
-- ARGV: as room.lua, then the names below; due_by is a steady time (µs), or '' for now.
-- Reply: as reply() of drain_room.lua, then the number of rooms drained.
local max_rooms, due_by = unpack(ARGV, 5)

-- After Redis's clock has stepped back: no agent was last seen after now.
for _, key in ipairs({'agents:last_seen', 'agents:busy'}) do
  for _, agent in ipairs(redis.call('ZRANGEBYSCORE', key, text(wall + 1000000), '+inf', 'LIMIT', 0, 1000)) do
    redis.call('ZADD', key, text(wall), agent)
  end
end
local due = text(tonumber(due_by) or now)
local rooms = redis.call('ZRANGEBYSCORE', 'rooms:due', '-inf', due, 'LIMIT', 0, tonumber(max_rooms))
for _, id in ipairs(rooms) do drain_room(id) end
local result = reply()
table.insert(result, #rooms)
return result
