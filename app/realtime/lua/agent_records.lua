-- Shared: read and change what a room knows of an agent. Needs agents.lua. Functions: parse_agent, format_agent,
-- read_agent, save_agent, version_of, keep_agent.
local OFFLINE_AFTER = 120000000  -- ONLINE_SECONDS of app/agents/reported.py

local function parse_agent(record)
  local next_allowed, pending, version, task_version, epoch, here, task =
    (record or UNKNOWN):match('^(%d+) (%d+) (%d+) (%d+) (%d+) ([01]) (.*)$')
  return {
    next_allowed = math.max(tonumber(next_allowed), first_allowed()),
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

-- Let an agent that has not reported here be deleted a week from now, and not count as online until then.
local function keep_agent(name) redis.call('ZADD', LAST_SEEN_KEY, 'NX', text(wall - OFFLINE_AFTER), name) end
