-- Give their turn to the rooms that are due, the longest due first.
-- ARGV: channel prefix, agent template, batch template, most rooms in one call, due by when (µs) or '' for now
-- Answer: as publish.lua, and how many rooms had their turn.
local now, most = clock(), tonumber(ARGV[4])
local rooms = redis.call('ZRANGEBYSCORE', 'rooms:due', '-inf', text(tonumber(ARGV[5]) or now), 'LIMIT', 0, most)
for _, id in ipairs(rooms) do turn(id, now) end
local result = answer()
table.insert(result, #rooms)
return result
