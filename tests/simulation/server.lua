-- Runs commands and scripts on store.lua, which `...` is, and writes replies in Redis's protocol (RESP 2).
-- Scripts see what Redis gives them, and may access only the keys that their call declares.
local store = ...
local commands, fail = store.commands, store.fail
local floor, concat = math.floor, table.concat
local server = {scripts = {}, calls = 0}

-- Least and most number of arguments of each command, and which of them are keys: 1, 'all', or a function's result.
local ARGUMENTS = {
  GET = {1, 1, 1}, SET = {2, 6, 1}, MGET = {1, 9999, 'all'}, INCR = {1, 1, 1}, INCRBY = {2, 2, 1},
  EXISTS = {1, 9999, 'all'}, DEL = {1, 9999, 'all'}, UNLINK = {1, 9999, 'all'}, TYPE = {1, 1, 1}, PERSIST = {1, 1, 1},
  EXPIRE = {2, 3, 1}, PEXPIRE = {2, 3, 1}, EXPIREAT = {2, 3, 1}, TTL = {1, 1, 1}, PTTL = {1, 1, 1},
  HSET = {3, 9999, 1}, HSETNX = {3, 3, 1}, HGET = {2, 2, 1}, HMGET = {2, 9999, 1}, HDEL = {2, 9999, 1},
  HINCRBY = {3, 3, 1}, HEXISTS = {2, 2, 1}, HGETALL = {1, 1, 1}, HLEN = {1, 1, 1},
  RPUSH = {2, 9999, 1}, LPUSH = {2, 9999, 1}, LPOP = {1, 2, 1}, RPOP = {1, 2, 1}, LLEN = {1, 1, 1},
  LRANGE = {3, 3, 1}, LINDEX = {2, 2, 1}, LSET = {3, 3, 1}, LTRIM = {3, 3, 1}, LPOS = {2, 2, 1},
  ZADD = {3, 9999, 1}, ZREM = {2, 9999, 1}, ZRANGE = {3, 9, 1}, ZRANGEBYSCORE = {3, 7, 1}, ZSCORE = {2, 2, 1},
  ZMSCORE = {2, 9999, 1}, ZCARD = {1, 1, 1}, ZCOUNT = {3, 3, 1}, ZRANK = {2, 2, 1}, ZREMRANGEBYSCORE = {3, 3, 1},
  ZREMRANGEBYRANK = {3, 3, 1}, ZPOPMIN = {1, 2, 1}, ZUNIONSTORE = {3, 3, 'union'},
  PUBLISH = {2, 2}, SPUBLISH = {2, 2, 'channel'}, PUBSUB = {2, 2}, TIME = {0, 0}, INFO = {0, 1}, PING = {0, 0}, FLUSHALL = {0, 1},
}
local MAX_UNPACK = 7999  -- Lua's stack in Redis

function commands.TIME()
  local micros = store.wall % 1000000
  return {store.number_text((store.wall - micros) / 1000000), store.number_text(micros)}
end

function commands.INFO() return '# Server\r\nredis_version:7.2.4\r\nrun_id:' .. store.server_id .. '\r\n' end
function commands.PING() return {ok = 'PONG'} end

function commands.FLUSHALL()
  store.keys = {}
  return {ok = 'OK'}
end

local function checked(name, count)
  local arguments = ARGUMENTS[name] or fail('ERR unknown command ' .. name)
  if count < arguments[1] or count > arguments[2] then
    fail("ERR wrong number of arguments for '" .. name:lower() .. "' command")
  end
  return arguments[3]
end

local declared, tag = {}, nil

local function tag_of(name) return name:match('{([^}]+)}') or name end

local function check_keys(keys, words)
  if keys == nil then return end
  if keys == 'channel' then
    if tag_of(words[1]) ~= tag then fail('ERR Script published in another slot: ' .. words[1]) end
    return
  end
  local first, last = 1, 1
  if keys == 'all' then last = #words end
  for i = first, last do
    if not declared[words[i]] then fail('ERR Script attempted to access a key it did not declare: ' .. words[i]) end
  end
  if keys == 'union' and not declared[words[3]] then fail('ERR undeclared source ' .. words[3]) end
end

local function call(name, ...)
  server.calls = server.calls + 1
  local words = {...}
  for i = 1, select('#', ...) do
    local word = words[i]
    if type(word) == 'number' then
      words[i] = word == floor(word) and math.abs(word) < 1e17 and string.format('%.0f', word)
        or string.format('%.17g', word)
    elseif type(word) ~= 'string' then
      fail('ERR Lua redis lib command arguments must be strings or integers')
    end
  end
  name = name:upper()
  check_keys(checked(name, #words), words)
  return commands[name](unpack(words))
end

local function pcall_command(...)
  local is_done, reply = pcall(call, ...)
  return reply
end

-- MessagePack, of the kinds that the application sends.
local function unpack_message(text)
  local at = 1
  local function size(bytes)
    local value = 0
    for i = 0, bytes - 1 do value = value * 256 + text:byte(at + i) end
    at = at + bytes
    return value
  end
  local next_value
  local function array(length)
    local list = {}
    for i = 1, length do list[i] = next_value() end
    return list
  end
  local function string_of(length)
    at = at + length
    return text:sub(at - length, at - 1)
  end
  function next_value()
    local kind = size(1)
    if kind < 0x80 then return kind end
    if kind >= 0xa0 and kind < 0xc0 then return string_of(kind - 0xa0) end
    if kind >= 0x90 and kind < 0xa0 then return array(kind - 0x90) end
    if kind == 0xd9 or kind == 0xc4 then return string_of(size(1)) end
    if kind == 0xda or kind == 0xc5 then return string_of(size(2)) end
    if kind == 0xdb or kind == 0xc6 then return string_of(size(4)) end
    if kind == 0xdc then return array(size(2)) end
    if kind == 0xdd then return array(size(4)) end
    if kind >= 0xcc and kind <= 0xcf then return size(2 ^ (kind - 0xcc)) end
    if kind == 0xc0 then return nil end
    if kind == 0xc2 or kind == 0xc3 then return kind == 0xc3 end
    error('MessagePack kind ' .. kind .. ' is not simulated')
  end
  return next_value()
end

local GLOBALS = {
  string = string, table = table, math = math, tonumber = tonumber, tostring = tostring, type = type, pairs = pairs,
  ipairs = ipairs, next = next, select = select, assert = assert, error = error, pcall = pcall,
  cmsgpack = {unpack = unpack_message},
  unpack = function(list, first, last)
    if (last or #list) - (first or 1) >= MAX_UNPACK then error('too many results to unpack') end
    return unpack(list, first, last)
  end,
  redis = {
    call = call,
    pcall = pcall_command,
    error_reply = function(text) return {err = text} end,
    status_reply = function(text) return {ok = text} end,
    sha1hex = function() error('sha1hex is not simulated') end,
    log = function() end,
  },
}
local environment = setmetatable({}, {
  __index = function(_, name)
    local value = GLOBALS[name]
    if value == nil then error('Script attempted to access nonexistent global variable ' .. tostring(name), 2) end
    return value
  end,
  __newindex = function(_, name) error('Attempt to modify a readonly table: ' .. tostring(name), 2) end,
})

function server.load(sha, source)
  local chunk, problem = loadstring(source, '@' .. sha)
  if not chunk then error(problem) end
  server.scripts[sha] = setfenv(chunk, environment)
end

local function evaluate(sha, key_count, ...)
  local script = server.scripts[sha] or fail('NOSCRIPT No matching script. Please use EVAL.')
  local words, keys, args = {...}, {}, {}
  declared, tag = {}, words[1] and tag_of(words[1])
  for i = 1, key_count do
    keys[i] = words[i]
    declared[words[i]] = true
    if tag_of(words[i]) ~= tag then fail("CROSSSLOT Keys in request don't hash to the same slot") end
  end
  for i = key_count + 1, #words do args[i - key_count] = words[i] end
  rawset(environment, 'KEYS', keys)
  rawset(environment, 'ARGV', args)
  return script()
end

local parts
local function write(value)
  local kind = type(value)
  if kind == 'number' then
    parts[#parts + 1] = string.format(':%.0f\r\n', value >= 0 and floor(value) or math.ceil(value))
  elseif kind == 'string' then
    parts[#parts + 1] = '$' .. #value .. '\r\n' .. value .. '\r\n'
  elseif kind == 'table' then
    if value.err then
      parts[#parts + 1] = '-' .. value.err .. '\r\n'
    elseif value.ok then
      parts[#parts + 1] = '+' .. value.ok .. '\r\n'
    else
      local count = 0
      while value[count + 1] ~= nil do count = count + 1 end
      parts[#parts + 1] = '*' .. count .. '\r\n'
      for i = 1, count do write(value[i]) end
    end
  else
    parts[#parts + 1] = value == true and ':1\r\n' or '$-1\r\n'
  end
end

local function run(name, ...)
  if name == 'EVALSHA' then return evaluate(...) end
  checked(name, select('#', ...))
  return commands[name](...)
end

-- The reply and then the published messages, as RESP.
function server.execute(...)
  store.published = {}
  local is_done, reply = pcall(run, ...)
  if not is_done and type(reply) ~= 'table' then
    reply = {err = 'ERR ' .. tostring(reply):gsub('[\r\n]', ' ') .. ' in a script'}
  end
  parts = {}
  write(reply)
  write(store.published)
  return concat(parts)
end

-- Copies of the memory, for a server that goes back to an older one.
local function copy(value)
  if type(value) ~= 'table' then return value end
  local copied = {}
  for name, each in pairs(value) do copied[name] = copy(each) end
  return copied
end

function server.saved() return copy(store.keys) end
function server.restore(keys) store.keys = copy(keys) end
function server.forget_scripts() server.scripts = {} end
function server.set_time(wall) store.wall = wall end
function server.set_server_id(id) store.server_id = id end
function server.listen(channel, count) store.listeners[channel] = count > 0 and count or nil end
return server
