-- Shared: what a room knows of an agent, in the hash AGENTS_KEY: 'next_allowed pending version task_version epoch here
-- task'. Needs keys.lua and clock.lua. Functions: first_allowed, touch_room, count_change.
--   next_allowed: when its next update may leave; pending: number of terminal updates that have yet to leave;
--   version: of its newest update; task_version: of the update that set its task; epoch: of the move that brought or
--   took it; here: 1 while it works in this room, else 0; task: '' without a running task
local AGENT_INTERVAL = 1010000   -- between two updates of one agent; a script's clock runs ahead of its publishing
local UNKNOWN = '0 0 0 0 0 0 '

-- What the memory does not know counts as told of when it began.
local function first_allowed() return born + AGENT_INTERVAL end

-- Record that something happened in the room; it is deleted when nothing has for long.
local function touch_room() redis.call('ZADD', ROOMS_KEY, text(wall), ID) end

-- Count a change of what `/state` shows of the room's agents: their records, newest updates and when they were seen.
local function count_change() redis.call('HINCRBY', STATE_KEY, 'changes', 1) end
