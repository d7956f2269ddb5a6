-- Shared: what a room knows of an agent, in the hash AGENTS_KEY: 'next_allowed pending version task_version epoch here
-- task'. Needs keys.lua and clock.lua. Functions: parse_agent, format_agent, read_agent, save_agent, version_of,
-- touch_room, keep_agent, count_change.
--   next_allowed: when its next update may leave; pending: number of terminal updates that have yet to leave;
--   version: of its newest update; task_version: of the update that set its task; epoch: of the move that brought or
--   took it; here: 1 while it works in this room, else 0; task: '' without a running task
local AGENT_INTERVAL = 1010000   -- between two updates of one agent; a script's clock runs ahead of its publishing
local OFFLINE_AFTER = 120000000  -- ONLINE_SECONDS of app/agents/reported.py
local UNKNOWN = '0 0 0 0 0 0 '
local FIRST_ALLOWED = born + AGENT_INTERVAL  -- what the memory does not know counts as told of when it began

local function parse_agent(record)
  local next_allowed, pending, version, task_version, epoch, here, task =
    (record or UNKNOWN):match('^(%d+) (%d+) (%d+) (%d+) (%d+) ([01]) (.*)$')
  return {
    next_allowed = math.max(tonumber(next_allowed), FIRST_ALLOWED),
    pending = tonumber(pending),
    version = tonumber(version),
    task_version = tonumber(task_version),
    epoch = tonumber(epoch),
    is_here = here == '1',
    task = task,
  }
end

local function format_agent(agent)
  return string.format('%d %d %d %d %d %d ', agent.next_allowed, agent.pending, agent.version,
    agent.task_version, agent.epoch, agent.is_here and 1 or 0) .. agent.task
end

local function read_agent(name) return parse_agent(redis.call('HGET', AGENTS_KEY, name)) end

local function save_agent(name, agent) redis.call('HSET', AGENTS_KEY, name, format_agent(agent)) end

local function version_of(data) return tonumber(data:match('"version":"(%d+)"}$', -40)) end

-- Record that something happened in the room; it is deleted when nothing has for long.
local function touch_room() redis.call('ZADD', ROOMS_KEY, text(wall), ID) end

-- Let an agent that has not reported here be deleted a week from now, and not count as online until then.
local function keep_agent(name) redis.call('ZADD', LAST_SEEN_KEY, 'NX', text(wall - OFFLINE_AFTER), name) end

-- Count a change of what `/state` shows of the room's agents: their records, newest updates and when they were seen.
local function count_change() redis.call('HINCRBY', STATE_KEY, 'changes', 1) end
