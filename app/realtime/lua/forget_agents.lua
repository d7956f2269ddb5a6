-- Delete what a room knows of agents that were not seen there for long and have no update waiting.
-- KEYS: all of keys.lua. ARGV: protocol id, '', silence (µs), the most agents.
-- Reply: the steady time, the number of agents looked at, the number deleted.
local silence, most = unpack(ARGV, 3)
local silent = redis.call('ZRANGE', LAST_SEEN_KEY, '-inf', text(wall - silence), 'BYSCORE', 'LIMIT', 0, most)
local deleted = {}
for _, name in ipairs(silent) do
  if read_agent(name).pending == 0 then
    deleted[#deleted + 1] = name
  else
    redis.call('ZADD', LAST_SEEN_KEY, text(wall - OFFLINE_AFTER), name)
  end
end
if #deleted > 0 then
  redis.call('HDEL', AGENTS_KEY, unpack(deleted))
  redis.call('HDEL', LATEST_KEY, unpack(deleted))
  local counts = {LAST_SEEN_KEY, BUSY_KEY, WAITING_KEY, BATCH_WAITING_KEY, ALL_LAST_SEEN_KEY, ALL_BUSY_KEY}
  for _, key in ipairs(counts) do redis.call('ZREM', key, unpack(deleted)) end
end
if #silent > 0 then count_change() end
return {text(now), #silent, #deleted}
