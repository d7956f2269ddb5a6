-- An in-memory Redis with the commands that the scripts use. A key is {kind, value, expires}; times are microseconds.
-- Replies are as redis.call returns them: a nil reply is false. Unknown commands and options and wrong numbers of
-- arguments raise, so that the store never accepts what a server would refuse.
local floor, huge, abs, format = math.floor, math.huge, math.abs, string.format
local store = {wall = 0, seconds = '0', micros = '0', keys = {}, commands = {}, published = {}, listeners = {}, server_id = 'none'}
local commands = store.commands
local WRONG_KIND = 'WRONGTYPE Operation against a key holding the wrong kind of value'

local function fail(text) error({err = text}, 0) end

local function number_text(number)  -- as Redis writes an integer or a score
  if number == huge then return 'inf' elseif number == -huge then return '-inf' end
  if number == floor(number) and abs(number) < 1e17 then return format('%.0f', number) end
  for digits = 15, 17 do
    local text = format('%.' .. digits .. 'g', number)
    if tonumber(text) == number then return text end
  end
end

local function whole(text)
  local number = tostring(text):match('^-?%d+$') and tonumber(text)
  return number or fail('ERR value is not an integer or out of range')
end

local INFINITE = {['+inf'] = huge, inf = huge, ['-inf'] = -huge}

local function score(text)
  return INFINITE[text] or (not text:find('^%s*0[xX]') and tonumber(text)) or fail('ERR value is not a valid float')
end

local OPENING = ('('):byte()

local function bound(text)  -- a score, and whether it is excluded
  if text:byte() == OPENING then return score(text:sub(2)), true end
  return score(text), false
end

local function held(name)  -- the key, unless it has expired
  local key = store.keys[name]
  if key and key.expires and key.expires <= store.wall then
    store.keys[name] = nil
    return nil
  end
  return key
end

local function value_of(name, kind)
  local key = held(name)
  if not key then return nil end
  if key.kind ~= kind then fail(WRONG_KIND) end
  return key.value
end

local function created(name, kind)
  local value = value_of(name, kind)
  if value then return value end
  value = kind == 'zset' and {scores = {}, order = {}} or kind == 'hash' and {} or {}
  store.keys[name] = {kind = kind, value = value}
  return value
end

local function drop_if_empty(name, is_empty) if is_empty then store.keys[name] = nil end end

-- Strings and keys
function commands.GET(name) return value_of(name, 'string') or false end

function commands.MGET(...)
  local found = {}
  for i, name in ipairs({...}) do
    local key = held(name)
    found[i] = key and key.kind == 'string' and key.value or false
  end
  return found
end

function commands.SET(name, value, ...)
  local options, expires, i = {...}, nil, 1
  local key = held(name)
  while options[i] do
    local option = options[i]:upper()
    if option == 'NX' then if key then return false end
    elseif option == 'XX' then if not key then return false end
    elseif option == 'PX' or option == 'EX' then
      expires = floor(store.wall / 1000) * 1000 + whole(options[i + 1]) * (option == 'PX' and 1000 or 1000000)
      i = i + 1
    elseif option == 'KEEPTTL' then expires = key and key.expires
    else fail('ERR syntax error') end
    i = i + 1
  end
  store.keys[name] = {kind = 'string', value = value, expires = expires}
  return {ok = 'OK'}
end

function commands.INCRBY(name, by)
  local key = held(name)
  local value = whole(key and commands.GET(name) or '0') + whole(by)
  if key then key.value = number_text(value) else commands.SET(name, number_text(value)) end
  return value
end

function commands.INCR(name) return commands.INCRBY(name, '1') end

function commands.EXISTS(...)
  local count = 0
  for _, name in ipairs({...}) do if held(name) then count = count + 1 end end
  return count
end

function commands.DEL(...)
  local count = 0
  for _, name in ipairs({...}) do
    if held(name) then count = count + 1 end
    store.keys[name] = nil
  end
  return count
end
commands.UNLINK = commands.DEL

function commands.TYPE(name)
  local key = held(name)
  return {ok = key and key.kind or 'none'}
end

local function expire_at(name, at, condition)
  local key = held(name)
  if not key then return 0 end
  condition = condition and condition:upper()
  if condition == 'NX' then if key.expires then return 0 end
  elseif condition == 'XX' then if not key.expires then return 0 end
  elseif condition == 'GT' then if not key.expires or at <= key.expires then return 0 end
  elseif condition == 'LT' then if key.expires and at >= key.expires then return 0 end
  elseif condition then fail('ERR Unsupported option ' .. condition) end
  key.expires = at
  held(name)
  return 1
end

local function millisecond() return floor(store.wall / 1000) * 1000 end
function commands.EXPIRE(name, seconds, condition)
  return expire_at(name, millisecond() + whole(seconds) * 1000000, condition)
end
function commands.PEXPIRE(name, milliseconds, condition)
  return expire_at(name, millisecond() + whole(milliseconds) * 1000, condition)
end
function commands.EXPIREAT(name, at, condition) return expire_at(name, whole(at) * 1000000, condition) end

function commands.PTTL(name)
  local key = held(name)
  if not key then return -2 end
  return key.expires and floor((key.expires - millisecond()) / 1000) or -1
end

function commands.TTL(name)
  local left = commands.PTTL(name)
  return left < 0 and left or floor((left + 500) / 1000)
end

function commands.PERSIST(name)
  local key = held(name)
  if not (key and key.expires) then return 0 end
  key.expires = nil
  return 1
end

-- Hashes
local function pairs_of(command, ...)
  local count = select('#', ...)
  if count == 0 or count % 2 == 1 then fail("ERR wrong number of arguments for '" .. command .. "' command") end
  return {...}, count
end

function commands.HSET(name, ...)
  local members, count = pairs_of('hset', ...)
  local hash, added = created(name, 'hash'), 0
  for i = 1, count, 2 do
    if hash[members[i]] == nil then added = added + 1 end
    hash[members[i]] = members[i + 1]
  end
  return added
end

function commands.HSETNX(name, field, value)
  local hash = value_of(name, 'hash')
  return hash and hash[field] and 0 or commands.HSET(name, field, value)
end

function commands.HGET(name, field)
  local hash = value_of(name, 'hash')
  return hash and hash[field] or false
end

function commands.HMGET(name, ...)
  local hash, found = value_of(name, 'hash'), {}
  for i, field in ipairs({...}) do found[i] = hash and hash[field] or false end
  return found
end

function commands.HDEL(name, ...)
  local hash, count = value_of(name, 'hash'), 0
  if not hash then return 0 end
  for _, field in ipairs({...}) do
    if hash[field] then count = count + 1 end
    hash[field] = nil
  end
  drop_if_empty(name, next(hash) == nil)
  return count
end

function commands.HINCRBY(name, field, by)
  local hash = value_of(name, 'hash')
  local value = whole(hash and hash[field] or '0') + whole(by)
  created(name, 'hash')[field] = number_text(value)
  return value
end

function commands.HEXISTS(name, field) return commands.HGET(name, field) and 1 or 0 end

function commands.HGETALL(name)
  local found = {}
  for field, value in pairs(value_of(name, 'hash') or {}) do
    found[#found + 1] = field
    found[#found + 1] = value
  end
  return found
end

function commands.HLEN(name)
  local count = 0
  for _ in pairs(value_of(name, 'hash') or {}) do count = count + 1 end
  return count
end

store.fail, store.whole, store.score, store.bound, store.number_text = fail, whole, score, bound, number_text
store.held, store.value_of, store.created, store.drop_if_empty = held, value_of, created, drop_if_empty
return store
