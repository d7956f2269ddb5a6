-- Shared: Redis's wall clock and the steady clock, both in whole microseconds.
local function wall_clock()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end

-- A number without an exponent.
local function text(number) return string.format('%.0f', number) end

-- The steady clock is Redis's clock without its steps. Limits and due times are times of this clock; timestamps that
-- clients see are not. It is stored as 'time offset': its last time, and the offset from Redis's clock.
local STEADY_KEY = 'clock:steady'
local TOLERANCE = 300000   -- a smaller step cannot be told from the latency of a call
local MAX_PAUSE = 1500000  -- a longer pause between two calls counts as a step if no caller measured it

local function read_steady_clock()
  local time, offset = (redis.call('GET', STEADY_KEY) or ''):match('^(%d+) (-?%d+)$')
  return tonumber(time), tonumber(offset)
end

-- The steady time for an operation that emits nothing; does not change the stored clock.
local function steady_time(wall)
  local last, offset = read_steady_clock()
  if not last then return wall end
  return math.min(math.max(wall + offset, last), last + MAX_PAUSE)
end

-- Advance the steady clock and return its time. `expected` is the least time by the caller's monotonic clock, nil if
-- unknown.
local function advance_steady_clock(wall, expected)
  local last, offset = read_steady_clock()
  local time = wall + (offset or 0)
  if last then
    local latest = expected and expected + TOLERANCE or last + MAX_PAUSE
    if time > latest then time = expected or last end
    time = math.max(time, last)
  end
  redis.call('SET', STEADY_KEY, text(time) .. ' ' .. text(time - wall))
  return time
end
