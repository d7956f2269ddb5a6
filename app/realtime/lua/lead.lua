-- Take or keep the lead among the beats; or give it up.
-- ARGV: the beat's token, milliseconds for which the lead lasts, 0 to give it up
-- Answer: 1 when this beat leads, else 0.
local key, token, lasts = 'beat:leader', ARGV[1], tonumber(ARGV[2])
local leader = redis.call('GET', key)
if leader and leader ~= token then
  -- A lead that lasts longer than any was given is from before Redis's clock stepped back.
  if redis.call('PTTL', key) > lasts and lasts > 0 then redis.call('PEXPIRE', key, lasts) end
  return 0
end
if lasts == 0 then
  redis.call('DEL', key)
  return 0
end
redis.call('SET', key, token, 'PX', lasts)
return 1
