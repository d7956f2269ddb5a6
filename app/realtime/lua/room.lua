-- Shared: the numbers, limit and pacing of a room. Needs keys.lua, clock.lua and agents.lua.
-- Values: room, window. Functions: read_room, allocate_seqs, ready_at, remaining_budget, spend_budget, save_room.
local LIMIT, WINDOW = 10, 1075000  -- events in any window; 75 ms over a second, so that the client's clock agrees
local PACING_INTERVAL = 107500     -- between two RUNNING updates that wait for budget
local QUEUE_CAPACITY = 100         -- events in a room's queue
local STORE_AFTER = 10000          -- since the clock was stored; it may go back by this when Redis's clock does
local STATE = {'seq', 'batch_seq', 'pacing', 'batch_at'}
if now - (last or now) > STORE_AFTER then store_clock() end

local room, window  -- the fields of STATE, nil if unknown; times of the last events, newest first
local was_paced

local function read_room()
  room, window = {}, redis.call('LRANGE', WINDOW_KEY, 0, LIMIT - 1)
  for i, value in ipairs(redis.call('HMGET', STATE_KEY, unpack(STATE))) do room[STATE[i]] = tonumber(value) end
  was_paced = room.pacing ~= nil
end

-- Allocate `count` sequence numbers of `field` and return the first. A new room counts from 1 (read_seq.lua); a room
-- whose number Redis lost goes on from the clock in milliseconds, far above the old number.
local function allocate_seqs(field, count)
  local first = (room[field] or math.floor(wall / 1000)) + 1
  room[field] = first + count - 1
  return first
end

-- When the room may emit again: its tenth newest event has left the window. A memory that began within the window does
-- not know its events.
local function ready_at()
  return math.max(window[LIMIT] and tonumber(window[LIMIT]) + WINDOW or 0, born + WINDOW)
end

-- How many events the room may emit now.
local function remaining_budget()
  if now < born + WINDOW then return 0 end
  local free = LIMIT
  for _, at in ipairs(window) do
    if tonumber(at) + WINDOW > now then free = free - 1 end
  end
  return free
end

local function spend_budget(count)
  local at, times = text(now), {}
  for i = 1, count do times[i] = at end
  if redis.call('LPUSH', WINDOW_KEY, unpack(times)) > LIMIT then redis.call('LTRIM', WINDOW_KEY, 0, LIMIT - 1) end
  for i = 1, LIMIT - count do times[count + i] = window[i] end
  window = times
  if room.pacing then room.pacing = math.max(room.pacing, now - 2 * PACING_INTERVAL) + count * PACING_INTERVAL end
end

local function save_room()
  local known = {}
  for field, value in pairs(room) do known[#known + 1], known[#known + 2] = field, text(value) end
  if #known > 0 then redis.call('HSET', STATE_KEY, unpack(known)) end
  if was_paced and not room.pacing then redis.call('HDEL', STATE_KEY, 'pacing') end
end
