-- Shared: the time. Needs CLOCK_KEY; ARGV[2] is the least steady time by the caller's monotonic clock, or ''.
-- Values: wall (Redis's clock), now (the partition's steady clock) and born, in whole microseconds; last.
-- Functions: text, store_clock, read_clock.
-- The steady clock is Redis's clock without its steps. Limits and due times are times of this clock; timestamps that
-- clients see are not. It is stored as 'time offset born server': its last time, its offset from Redis's clock, when
-- this memory began, and the run id of the server. What the memory does not know counts as used at `born`.
local TOLERANCE = 300000   -- a smaller step cannot be told from the latency of a call
local MAX_PAUSE = 1500000  -- a longer pause between two calls counts as a step if no caller measured it
local MAX_UNSTORED = 500000

-- A whole number without an exponent.
local function text(number) return string.format('%d', number) end

local time = redis.call('TIME')
local wall = tonumber(time[1]) * 1000000 + tonumber(time[2])
local last, offset, born, server, now

local function steady_time(expected)
  if not last then return wall end
  local time, latest = wall + offset, expected and expected + TOLERANCE or last + MAX_PAUSE
  if time > latest then time = expected or last end
  return math.max(time, last)
end

local function store_clock()
  redis.call('SET', CLOCK_KEY, table.concat({text(now), text(now - wall), text(born), server}, ' '))
end

-- Read the clock of a partition that was selected.
local function read_clock(expected)
  last, offset, born, server = (redis.call('GET', CLOCK_KEY) or ''):match('^(%d+) (-?%d+) (%d+) (%S+)$')
  last, offset = tonumber(last), tonumber(offset)
  now = steady_time(tonumber(expected))
  born, server = tonumber(born) or now, server or '-'
  -- Also if it has run ahead of the stored one, to which a caller that measured nothing would go back.
  if not last or now ~= wall + offset or now - last > MAX_UNSTORED then store_clock() end
end

read_clock(ARGV[2])
