-- Shared by all operations of this folder: Redis's clock in whole microseconds, and numbers written without exponent.
local function clock()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end

local function text(number) return string.format('%.0f', number) end

-- The steady clock is Redis's clock with its steps taken out. Every limit and due time is a time of this clock; what
-- clients are shown is not. It is kept as 'time offset': its last time, and what to add to Redis's clock.
local STEADY = 'clock:steady'
local TOLERANCE = 300000   -- a smaller step cannot be told from the time a call takes to arrive
local SILENCE = 1500000    -- a longer pause between two calls is taken for a step where nobody measured it

local function steady_state()
  local time, offset = (redis.call('GET', STEADY) or ''):match('^(%d+) (-?%d+)$')
  return tonumber(time), tonumber(offset)
end

-- The steady time of an operation that emits nothing; it moves no clock.
local function steady(now)
  local last, offset = steady_state()
  if not last then return now end
  return math.min(math.max(now + offset, last), last + SILENCE)
end

-- Move the steady clock on. `expected` is the least time it should show by the caller's monotonic clock, nil if unknown.
local function advance(now, expected)
  local last, offset = steady_state()
  local time = now + (offset or 0)
  if last then
    local latest = expected and expected + TOLERANCE or last + SILENCE
    if time > latest then time = expected or last end
    time = math.max(time, last)
  end
  redis.call('SET', STEADY, text(time) .. ' ' .. text(time - now))
  return time
end
