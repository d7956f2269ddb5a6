-- Give their turn to the rooms that are due, the longest due first.
-- ARGV: channel prefix, agent template, batch template, expected steady time or '', most rooms in one call, due by when
--   (steady time, µs) or '' for now
-- Answer: as emit.lua, and how many rooms had their turn.

-- Redis's clock may have stepped back: an agent cannot have been heard after now.
for _, key in ipairs({'agents:heard', 'agents:busy'}) do
  for _, agent in ipairs(redis.call('ZRANGEBYSCORE', key, text(wall + 1000000), '+inf', 'LIMIT', 0, 1000)) do
    redis.call('ZADD', key, text(wall), agent)
  end
end
local most = tonumber(ARGV[5])
local rooms = redis.call('ZRANGEBYSCORE', 'rooms:due', '-inf', text(tonumber(ARGV[6]) or now), 'LIMIT', 0, most)
for _, id in ipairs(rooms) do turn(id) end
local result = answer()
table.insert(result, #rooms)
return result
