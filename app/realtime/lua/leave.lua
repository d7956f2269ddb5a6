-- Let agents leave the room, because they now work in another: an update that says RUNNING becomes IDLE, and what may
-- leave does. Repeating it is harmless. An agent that is unknown here is recorded, so that it cannot arrive late by an
-- older move.
-- KEYS: all of keys.lua. ARGV: protocol id, expected steady time, then an agent and the epoch of its move, and so on.
-- Reply: as reply() of drain_room.lua; then for each agent how long until it may be told of elsewhere (µs), counting
-- what of it still waits here, and its version.
local DRAIN_DELAY = 250000  -- how late a scheduled drain may be

local function set_idle(name, agent, latest, version)
  local due = text(math.max(now, agent.next_allowed))
  if not latest or not latest:find('"status":"RUNNING"', 1, true) then return end
  local data = latest:gsub('"status":"RUNNING"', '"status":"IDLE"', 1)
  data = data:gsub('"estimatedCompletion":"[^"]*"', '"estimatedCompletion":null', 1)
  data = data:gsub('"version":"%d+"}$', '"version":"' .. text(version) .. '"}')
  redis.call('HSET', LATEST_KEY, name, data)
  redis.call('ZADD', WAITING_KEY, 'NX', due, name)
  if room.batch_seq then redis.call('ZADD', BATCH_WAITING_KEY, 'NX', due, name) end
end

-- It no longer counts as online or busy here. Its record stays until it is deleted a week later.
local function stop_counting(name)
  redis.call('ZREM', BUSY_KEY, name)
  redis.call('ZREM', ALL_BUSY_KEY, name)
  redis.call('ZREM', ALL_LAST_SEEN_KEY, name)
  redis.call('ZADD', LAST_SEEN_KEY, 'XX', text(wall - OFFLINE_AFTER), name)
end

local function leave(name, epoch)
  local agent = read_agent(name)
  if epoch <= agent.epoch then return end
  agent.epoch = epoch
  if agent.is_here then
    -- the version after an update that moves it is reserved for the start of its next task, which may be here
    local latest = redis.call('HGET', LATEST_KEY, name)
    local version = epoch > (latest and version_of(latest) or 0) and epoch or agent.version + 1
    agent.version = math.max(agent.version, version)
    set_idle(name, agent, latest, version)
    stop_counting(name)
    agent.is_here, agent.task = false, ''
  end
  save_agent(name, agent)
  keep_agent(name)
end

local function remaining(name, agent)
  local waiting = agent.pending + (redis.call('ZSCORE', WAITING_KEY, name) and 1 or 0)
  local delay = waiting > 0 and waiting * AGENT_INTERVAL + DRAIN_DELAY or 0
  return text(math.max(0, agent.next_allowed - now) + delay)
end

for i = 3, #ARGV, 2 do leave(ARGV[i], tonumber(ARGV[i + 1])) end
drain_room()
touch_room()
count_change()
local result = reply()
for i = 3, #ARGV, 2 do
  local agent = read_agent(ARGV[i])
  result[#result + 1], result[#result + 2] = remaining(ARGV[i], agent), text(agent.version)
end
return result
