-- Let agents work in the room from now on, after they have left the earlier one.
-- KEYS: those of keys.lua that a report needs. ARGV: protocol id, expected steady time, then of each agent its name,
-- the epoch of its move, how long it may not be told of (µs), and its version.
-- Reply: the steady time; for each agent '' or, if a later move is recorded here, that move's epoch.
local result = {text(now)}
for i = 3, #ARGV, 4 do
  local name, epoch, remaining, version = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local agent = read_agent(name)
  if epoch < agent.epoch or epoch == agent.epoch and not agent.is_here then
    result[#result + 1] = text(agent.epoch)
  else
    agent.is_here, agent.epoch = true, epoch
    agent.version = math.max(agent.version, version)
    local slot = tonumber(redis.call('ZSCORE', WAITING_KEY, name) or 0)  -- what still waits here has its place already
    if agent.pending == 0 and slot <= now then agent.next_allowed = math.max(agent.next_allowed, now + remaining) end
    save_agent(name, agent)
    keep_agent(name)
    touch_room()
    count_change()
    result[#result + 1] = ''
  end
end
return result
