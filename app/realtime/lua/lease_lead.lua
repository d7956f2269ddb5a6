-- Take, renew or release the lead among the beats.
-- ARGV: the names below; milliseconds 0 releases the lead.
-- Reply: 1 if this beat leads, else 0.
local token, milliseconds = ARGV[1], tonumber(ARGV[2])
local key = 'beat:leader'
local leader = redis.call('GET', key)
if leader and leader ~= token then
  -- A lease longer than any beat takes is from before Redis's clock stepped back.
  if redis.call('PTTL', key) > milliseconds and milliseconds > 0 then redis.call('PEXPIRE', key, milliseconds) end
  return 0
end
if milliseconds == 0 then
  redis.call('DEL', key)
  return 0
end
redis.call('SET', key, token, 'PX', milliseconds)
return 1
