-- Find the rooms of a partition that are due, the longest due first.
-- KEYS: those of partition.lua. ARGV: '', expected steady time, the most rooms.
-- Reply: the steady time; how long until the next room is due that is not among them (µs) or ''; then each room and for
-- how long it has been due (µs).
local MAX_CORRECTED = 1000

-- After Redis's clock has stepped back: no agent was last seen after now.
for _, key in ipairs({LAST_SEEN_KEY, BUSY_KEY}) do
  local future = redis.call('ZRANGE', key, text(wall + 1000000), '+inf', 'BYSCORE', 'LIMIT', 0, MAX_CORRECTED)
  for _, name in ipairs(future) do redis.call('ZADD', key, text(wall), name) end
end
local due = redis.call('ZRANGE', DUE_KEY, '-inf', text(now), 'BYSCORE', 'LIMIT', 0, ARGV[3], 'WITHSCORES')
local following = redis.call('ZRANGE', DUE_KEY, #due / 2, #due / 2, 'WITHSCORES')[2]
for i = 2, #due, 2 do due[i] = text(now - due[i]) end
return {text(now), following and text(math.max(0, following - now)) or '', unpack(due)}
