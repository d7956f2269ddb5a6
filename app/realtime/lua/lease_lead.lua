-- Take, renew or release the lead among the beats.
-- KEYS: the leader's token. ARGV: the names below; milliseconds 0 releases the lead.
-- Reply: 1 if this beat leads, else 0.
local token, milliseconds = ARGV[1], tonumber(ARGV[2])
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= token then
  -- A lease longer than any beat takes is from before Redis's clock stepped back.
  local is_too_long = milliseconds > 0 and redis.call('PTTL', KEYS[1]) > milliseconds
  if is_too_long then redis.call('PEXPIRE', KEYS[1], milliseconds) end
  return 0
end
if milliseconds == 0 then
  redis.call('DEL', KEYS[1])
  return 0
end
redis.call('SET', KEYS[1], token, 'PX', milliseconds)
return 1
