-- Shared: an agent that turned to another protocol without closing its task is told of as IDLE in the earlier room.

local function version_of(data) return tonumber(data:match('"version":"(%d+)"}$', -40)) end

-- `version` is that of the report by which the agent turned away; `due` is when the update may leave.
local function show_idle(agent, id, version, due)
  local K = 'room:' .. id
  local shown = redis.call('HGET', K .. ':latest', agent)
  if not shown or version_of(shown) >= version or not shown:find('"status":"RUNNING"', 1, true) then return end
  local data = shown:gsub('"status":"RUNNING"', '"status":"IDLE"', 1)
  data = data:gsub('"estimatedCompletion":"[^"]*"', '"estimatedCompletion":null', 1)
  data = data:gsub('"version":"%d+"}$', '"version":"' .. text(version) .. '"}')
  redis.call('HSET', K .. ':latest', agent, data)
  redis.call('ZADD', K .. ':running', 'NX', text(due), agent)
  if redis.call('EXISTS', 'room:~' .. id .. ':seq') == 1 then
    redis.call('ZADD', K .. ':changed', 'NX', text(due), agent)
  end
  redis.call('ZADD', 'rooms:due', 'LT', text(due), id)
end
