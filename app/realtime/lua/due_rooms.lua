-- Find the rooms of a partition that are due, the longest due first.
-- KEYS: the clock of the partition, its rooms by due time. ARGV: '', expected steady time, the most rooms.
-- Reply: the steady time; how long until the next room is due that is not among them (µs) or ''; then each room and for
-- how long it has been due (µs).
local due = redis.call('ZRANGE', DUE_KEY, '-inf', text(now), 'BYSCORE', 'LIMIT', 0, ARGV[3], 'WITHSCORES')
local following = redis.call('ZRANGE', DUE_KEY, #due / 2, #due / 2, 'WITHSCORES')[2]
for i = 2, #due, 2 do due[i] = text(now - due[i]) end
return {text(now), following and text(math.max(0, following - now)) or '', unpack(due)}
