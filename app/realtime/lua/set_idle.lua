-- Shared: the earlier room of an agent that moved to another protocol without a terminal update shows it as IDLE.

local function version_of(data) return tonumber(data:match('"version":"(%d+)"}$', -40)) end

-- `version` is that of the report from the other protocol; `due` is when the update may leave.
local function set_idle(agent, id, version, due)
  local K = 'room:' .. id
  local latest = redis.call('HGET', K .. ':latest', agent)
  if not latest or version_of(latest) >= version or not latest:find('"status":"RUNNING"', 1, true) then return end
  local data = latest:gsub('"status":"RUNNING"', '"status":"IDLE"', 1)
  data = data:gsub('"estimatedCompletion":"[^"]*"', '"estimatedCompletion":null', 1)
  data = data:gsub('"version":"%d+"}$', '"version":"' .. text(version) .. '"}')
  redis.call('HSET', K .. ':latest', agent, data)
  redis.call('ZADD', K .. ':waiting', 'NX', text(due), agent)
  if redis.call('EXISTS', K .. ':batch_seq') == 1 then
    redis.call('ZADD', K .. ':batch_waiting', 'NX', text(due), agent)
  end
  redis.call('ZADD', 'rooms:due', 'LT', text(due), id)
end

-- An agent that left a room no longer counts as online or busy there. Its entry stays until it is deleted a week later.
local OFFLINE_AFTER = 120000000  -- microseconds: ONLINE_SECONDS of app/agents/reported.py

local function stop_counting(agent, id, wall)
  redis.call('ZREM', 'room:' .. id .. ':busy', agent)
  redis.call('ZADD', 'room:' .. id .. ':last_seen', 'XX', text(wall - OFFLINE_AFTER), agent)
end
