-- Give the keys of release 0.1 their present names, add those it lacked, and delete those that nothing reads any more.
-- One step of a SCAN; repeating it is harmless. A key that has its new name already is left alone.
-- ARGV: the names below.
-- Reply: the next cursor, '0' at the end, and the number of keys renamed.
local cursor, max_keys = unpack(ARGV)
local GLOBAL = {
  ['agents:on'] = 'agents:task',
  ['agents:turned'] = 'agents:task_version',
  ['agents:due'] = 'agents:next_allowed',
  ['agents:closing'] = 'agents:pending_terminal',
  ['agents:heard'] = 'agents:last_seen',
}
local OF_A_ROOM = {
  sent = 'window',
  pace = 'pacing',
  running = 'waiting',
  finals = 'terminal',
  changed = 'batch_waiting',
}
local OBSOLETE = {}
for _, key in ipairs({'presence:parts', 'worker:heartbeat', 'redbeat::lock', 'redbeat::schedule', 'redbeat::statics',
  'redbeat:celery.backend_cleanup', 'redbeat:flush', 'redbeat:outbox-sweep', 'redbeat:payment-sweep',
  'redbeat:retention'}) do OBSOLETE[key] = true end

local function present_name(key)
  if GLOBAL[key] then return GLOBAL[key] end
  local agent = key:match('^agent:(.*):finals$')
  if agent then return 'agent:' .. agent .. ':terminal' end
  local batched_id = key:match('^room:~(.*):seq$')
  if batched_id then return 'room:' .. batched_id .. ':batch_seq' end
  local id, part = key:match('^room:(.*):(%l+)$')
  return OF_A_ROOM[part] and 'room:' .. id .. ':' .. OF_A_ROOM[part]
end

-- Release 0.1 did not record when a room's agents were last seen: their newest versions in the room tell it.
local function record_last_seen(K)
  local latest = redis.call('HGETALL', K .. ':latest')
  for i = 1, #latest, 2 do
    local agent, data = latest[i], latest[i + 1]
    local version = data:match('"version":"(%d+)"}$', -40) or 0
    redis.call('ZADD', K .. ':last_seen', 'NX', version, agent)
    if data:find('"status":"RUNNING"', 1, true) then redis.call('ZADD', K .. ':busy', 'NX', version, agent) end
  end
end

local found, renamed = redis.call('SCAN', cursor, 'COUNT', max_keys), 0
for _, key in ipairs(found[2]) do
  local name = present_name(key)
  if name then
    renamed = renamed + redis.call('RENAMENX', key, name)
    redis.call('PERSIST', name)  -- some keys of 0.1 expire
  end
  if OBSOLETE[key] then redis.call('DEL', key) end
  if key:find('^room:.*:latest$') then record_last_seen(key:match('^(.*):latest$')) end
end
return {found[1], renamed}
