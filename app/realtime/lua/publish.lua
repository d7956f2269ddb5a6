-- Let one event into its room: number it, send what the budget allows, drop the oldest beyond 100.
-- ARGV: channel prefix, agent template, batch template, protocol id, outbox position or '', event type, template, data (JSON)
-- Answer: counts by event type, undelivered, dropped, waits, when the next room is due, Redis's time (µs);
-- nothing is done when an event of this or a later outbox position was let in before.
local id, position = ARGV[4], tonumber(ARGV[5])
local K, now = 'room:' .. id, clock()
if position then
  if position <= tonumber(redis.call('GET', K .. ':outbox') or 0) then return answer() end
  redis.call('SET', K .. ':outbox', ARGV[5])
end
enqueue(id, now, '-', ARGV[6], ARGV[7], ARGV[8])
turn(id, now)
return answer()
