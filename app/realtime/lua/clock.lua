-- Shared by all operations of this folder: Redis's clock in whole microseconds, and numbers written without exponent.
local function clock()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end

local function text(number) return string.format('%.0f', number) end
