-- What store.lua holds, for comparisons and copies; `...` is the store and server.lua.
local store, server = ...
local commands = store.commands

-- Copies of the memory, for a server that goes back to an older one.
local function copy(value)
  if type(value) ~= 'table' then return value end
  local copied = {}
  for name, each in pairs(value) do copied[name] = copy(each) end
  return copied
end

-- Each key with its kind and its value: fields and values, members and scores in order, or members.
function server.dump()
  local found, names = {}, {}
  for name in pairs(store.keys) do names[#names + 1] = name end
  for _, name in ipairs(names) do
    local kind = commands.TYPE(name).ok
    local value = kind == 'string' and {commands.GET(name)} or kind == 'hash' and commands.HGETALL(name)
      or kind == 'list' and commands.LRANGE(name, '0', '-1')
      or kind == 'zset' and commands.ZRANGE(name, '0', '-1', 'WITHSCORES') or {}
    found[#found + 1] = {name, kind, value}
  end
  return server.encoded(found)
end

function server.expired()
  local names = {}
  for name, key in pairs(store.keys) do
    if key.expires and key.expires <= store.wall then names[#names + 1] = name end
  end
  for _, name in ipairs(names) do store.keys[name] = nil end
  return server.encoded(names)
end

function server.saved() return copy(store.keys) end
function server.restore(keys) store.keys = copy(keys) end
