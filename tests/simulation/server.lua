-- Runs commands and scripts on store.lua, which `...` is, and writes replies in Redis's protocol (RESP 2).
-- Scripts see what Redis gives them, and may access only the keys that their call declares.
local store = ...
local commands, fail = store.commands, store.fail
local floor, abs, concat, format = math.floor, math.abs, table.concat, string.format
local server = {scripts = {}, calls = 0, is_cluster = true}

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

function commands.TIME() return {store.seconds, store.micros} end

function commands.INFO() return '# Server\r\nredis_version:7.2.4\r\nredis_mode:cluster\r\nrun_id:' .. store.server_id .. '\r\n' end
function commands.PING() return {ok = 'PONG'} end

function commands.FLUSHALL()
  store.keys = {}
  return {ok = 'OK'}
end

local function checked(name, count)
  local arguments = ARGUMENTS[name] or fail('ERR unknown command ' .. tostring(name))
  if count < arguments[1] or count > arguments[2] then
    fail("ERR wrong number of arguments for '" .. name:lower() .. "' command")
  end
  return arguments[3]
end

local tags = setmetatable({}, {__index = function(known, name)
  known[name] = name:match('{([^}]+)}') or name
  return known[name]
end})

local declared = {}  -- the keys of the running script, by name; `tag` is their hash tag
local tag

local function check_key(name)
  if not declared[name] then fail('ERR Script attempted to access a key it did not declare: ' .. tostring(name)) end
end

local function check_keys(keys, name, ...)
  if keys == 'channel' then
    if tags[name] ~= tag then fail('ERR Script published in another slot: ' .. name) end
  elseif keys == 'union' then
    check_key(name)
    check_key((select(2, ...)))
  elseif keys == 'all' then
    check_key(name)
    for _, each in ipairs({...}) do check_key(each) end
  end
end

local function argument(word)
  local kind = type(word)
  if kind == 'string' then return word end
  if kind ~= 'number' then fail('ERR Lua redis lib command arguments must be strings or integers') end
  if word == floor(word) and abs(word) < 1e17 then return format('%.0f', word) end
  return format('%.17g', word)
end

local function call(name, ...)
  server.calls = server.calls + 1
  local count, command = select('#', ...), commands[name]
  local keys = checked(name, count)
  if count == 0 then return command() end
  local first, second, third = ...
  if keys == 1 then
    if not declared[first] then check_key(first) end
  elseif keys then
    check_keys(keys, ...)
  end
  if count == 1 then return command(argument(first)) end
  if count == 2 then return command(argument(first), argument(second)) end
  if count == 3 then return command(argument(first), argument(second), argument(third)) end
  local words = {...}
  for i = 1, count do
    if type(words[i]) ~= 'string' then words[i] = argument(words[i]) end
  end
  return command(unpack(words))
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
setmetatable(GLOBALS, {__index = function(_, name)
  error('Script attempted to access nonexistent global variable ' .. tostring(name), 2)
end})
local environment = setmetatable({}, {
  __index = GLOBALS,
  __newindex = function(_, name) error('Attempt to modify a readonly table: ' .. tostring(name), 2) end,
})

function server.load(sha, chunk) server.scripts[sha] = chunk end

local key_sets = {}

-- Register the keys of a call; returns their number, by which `evaluate` names them.
function server.declare(...)
  local keys, names = {...}, {}
  for _, name in ipairs(keys) do
    names[name] = true
    if server.is_cluster and tags[name] ~= tags[keys[1]] then return "CROSSSLOT Keys in request don't hash to the same slot" end
  end
  key_sets[#key_sets + 1] = {keys = keys, names = names, tag = tags[keys[1]]}
  return #key_sets
end

local function evaluate(sha, set_number, ...)
  local script = server.scripts[sha] or fail('NOSCRIPT No matching script. Please use EVAL.')
  local set, args = key_sets[set_number], {...}
  for i = 1, #args do if type(args[i]) == 'number' then args[i] = store.number_text(args[i]) end end
  declared, tag = set.names, set.tag
  rawset(environment, 'KEYS', set.keys)
  rawset(environment, 'ARGV', args)
  return setfenv(script, environment)()
end

local parts
local function write(value)
  local kind = type(value)
  if kind == 'number' then
    parts[#parts + 1] = format(':%.0f\r\n', value >= 0 and floor(value) or math.ceil(value))
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

function server.encoded(value)
  parts = {}
  write(value)
  return concat(parts)
end

local function run(name, ...)
  if name == 'EVALSHA' then return evaluate(...) end
  local words = {...}
  for i = 1, #words do words[i] = argument(words[i]) end
  checked(name, #words)
  return commands[name](unpack(words))
end

-- The reply and then the published messages, as RESP.
function server.execute(...)
  store.published = {}
  local is_done, reply = pcall(run, ...)
  if not is_done and type(reply) ~= 'table' then
    reply = {err = 'ERR ' .. tostring(reply):gsub('[\r\n]', ' ') .. ' in a script'}
  end
  return server.encoded(reply) .. server.encoded(store.published)
end

function server.forget_scripts() server.scripts = {} end
function server.set_time(wall)
  local micros = wall % 1000000
  store.wall, store.seconds, store.micros = wall, format('%.0f', (wall - micros) / 1000000), format('%.0f', micros)
end
function server.leave_cluster() server.is_cluster = false end
function server.set_server_id(id) store.server_id = id end
function server.listen(channel, count) store.listeners[channel] = count > 0 and count or nil end
return server
