-- Lists, sorted sets and channels of store.lua, which `...` is. A sorted set keeps its members in order.
local store = ...
local commands, fail, whole, score, bound = store.commands, store.fail, store.whole, store.score, store.bound
local value_of, created, drop_if_empty, number_text = store.value_of, store.created, store.drop_if_empty, store.number_text
local insert, remove, min, max, floor = table.insert, table.remove, math.min, math.max, math.floor
local EMPTY_SET = {scores = {}, order = {}}

function commands.RPUSH(name, ...)
  local list = created(name, 'list')
  for _, value in ipairs({...}) do list[#list + 1] = value end
  return #list
end

function commands.LPUSH(name, ...)
  local list = created(name, 'list')
  for _, value in ipairs({...}) do insert(list, 1, value) end
  return #list
end

local function pop(name, count, at_end)
  local list = value_of(name, 'list')
  if count and whole(count) < 0 then fail('ERR value is out of range, must be positive') end
  if not list then return false end
  local taken = {}
  for i = 1, min(count and whole(count) or 1, #list) do taken[i] = remove(list, at_end and #list or 1) end
  drop_if_empty(name, #list == 0)
  return count and taken or taken[1]
end

function commands.LPOP(name, count) return pop(name, count, false) end
function commands.RPOP(name, count) return pop(name, count, true) end
function commands.LLEN(name) return #(value_of(name, 'list') or {}) end

local function from_to(first, last, size)  -- positions from 1
  first, last = whole(first), whole(last)
  first = first < 0 and max(first + size, 0) or first
  last = last < 0 and last + size or min(last, size - 1)
  return first + 1, last + 1
end

function commands.LRANGE(name, first, last)
  local list, found = value_of(name, 'list') or {}, {}
  first, last = from_to(first, last, #list)
  for i = first, last do found[#found + 1] = list[i] end
  return found
end

function commands.LINDEX(name, place)
  local list = value_of(name, 'list') or {}
  place = whole(place)
  return list[place < 0 and #list + place + 1 or place + 1] or false
end

function commands.LSET(name, place, value)
  local list = value_of(name, 'list') or fail('ERR no such key')
  place = whole(place)
  place = place < 0 and #list + place + 1 or place + 1
  if not list[place] then fail('ERR index out of range') end
  list[place] = value
  return {ok = 'OK'}
end

function commands.LTRIM(name, first, last)
  local list = value_of(name, 'list')
  if not list then return {ok = 'OK'} end
  first, last = from_to(first, last, #list)
  for _ = last + 1, #list do remove(list) end
  for _ = 1, min(first - 1, #list) do remove(list, 1) end
  drop_if_empty(name, #list == 0)
  return {ok = 'OK'}
end

function commands.LPOS(name, value)
  for i, each in ipairs(value_of(name, 'list') or {}) do if each == value then return i - 1 end end
  return false
end

-- Sorted sets
local function place_of(set, member, at)  -- where the member is or belongs
  local order, scores, low, high = set.order, set.scores, 1, #set.order
  while low <= high do
    local middle = floor((low + high) / 2)
    local other = order[middle]
    if scores[other] < at or scores[other] == at and other < member then low = middle + 1 else high = middle - 1 end
  end
  return low
end

local ADD_OPTIONS = {NX = true, XX = true, LT = true, GT = true, CH = true}

local function put(set, member, at)
  local before = set.scores[member]
  if before == at then return end
  if before then remove(set.order, place_of(set, member, before)) end
  insert(set.order, place_of(set, member, at), member)
  set.scores[member] = at
end

function commands.ZADD(name, ...)
  local words, options, start = {...}, {}, 1
  while ADD_OPTIONS[words[start]] do
    options[words[start]] = true
    start = start + 1
  end
  if (#words - start) % 2 == 0 or start > #words then fail('ERR syntax error') end
  if options.NX and (options.XX or options.LT or options.GT) or options.LT and options.GT then
    fail('ERR GT, LT, and/or NX options at the same time are not compatible')
  end
  for i = start, #words, 2 do score(words[i]) end
  local set, added, changed = created(name, 'zset'), 0, 0
  for i = start, #words, 2 do
    local at, member = score(words[i]), words[i + 1]
    local before = set.scores[member]
    local skipped = before and (options.NX or options.LT and at >= before or options.GT and at <= before)
    if not skipped and (before or not options.XX) then
      if not before then added = added + 1 elseif before ~= at then changed = changed + 1 end
      put(set, member, at)
    end
  end
  drop_if_empty(name, #set.order == 0)
  return options.CH and added + changed or added
end

function commands.ZREM(name, ...)
  local set, count = value_of(name, 'zset'), 0
  if not set then return 0 end
  for _, member in ipairs({...}) do
    local at = set.scores[member]
    if at then
      remove(set.order, place_of(set, member, at))
      set.scores[member], count = nil, count + 1
    end
  end
  drop_if_empty(name, #set.order == 0)
  return count
end

local function by_score(set, low, high)
  local found = {}
  local least, is_open = bound(low)
  local most, is_open_above = bound(high)
  for i = place_of(set, '', least), #set.order do
    local at = set.scores[set.order[i]]
    if at > most or is_open_above and at == most then break end
    if not (is_open and at == least) then found[#found + 1] = set.order[i] end
  end
  return found
end

local function selected(set, found, options)
  if options.REV then
    for i = 1, floor(#found / 2) do found[i], found[#found - i + 1] = found[#found - i + 1], found[i] end
  end
  local result, offset = {}, options.offset or 0
  local count = (options.count or -1) < 0 and #found or options.count
  for i = offset + 1, min(#found, offset + count) do
    result[#result + 1] = found[i]
    if options.WITHSCORES then result[#result + 1] = number_text(set.scores[found[i]]) end
  end
  return result
end

local function options_of(words, from)
  local options, i = {}, from
  while words[i] do
    local word = words[i]:upper()
    if word == 'LIMIT' then
      options.offset, options.count = whole(words[i + 1] or ''), whole(words[i + 2] or '')
      i = i + 2
    elseif word == 'BYSCORE' or word == 'REV' or word == 'WITHSCORES' then options[word] = true
    else fail('ERR syntax error') end
    i = i + 1
  end
  return options
end

function commands.ZRANGE(name, first, last, ...)
  local set, options = value_of(name, 'zset') or EMPTY_SET, options_of({...}, 1)
  if options.BYSCORE then
    if options.REV then first, last = last, first end
    return selected(set, by_score(set, first, last), options)
  end
  if options.count then fail('ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX') end
  local size, found = #set.order, {}
  first, last = from_to(first, last, size)
  for i = first, last do found[#found + 1] = set.order[options.REV and size + 1 - i or i] end
  options.REV = nil
  return selected(set, found, options)
end

function commands.ZRANGEBYSCORE(name, low, high, ...)
  local set, options = value_of(name, 'zset') or EMPTY_SET, options_of({...}, 1)
  if options.BYSCORE or options.REV then fail('ERR syntax error') end
  return selected(set, by_score(set, low, high), options)
end

function commands.ZSCORE(name, member)
  local at = (value_of(name, 'zset') or EMPTY_SET).scores[member]
  return at and number_text(at) or false
end

function commands.ZMSCORE(name, ...)
  local found = {}
  for i, member in ipairs({...}) do found[i] = commands.ZSCORE(name, member) end
  return found
end
function commands.ZCARD(name) return #(value_of(name, 'zset') or EMPTY_SET).order end

function commands.ZCOUNT(name, low, high) return #by_score(value_of(name, 'zset') or EMPTY_SET, low, high) end

function commands.ZRANK(name, member)
  local set = value_of(name, 'zset') or EMPTY_SET
  return set.scores[member] and place_of(set, member, set.scores[member]) - 1 or false
end

function commands.ZREMRANGEBYSCORE(name, low, high)
  local found = by_score(value_of(name, 'zset') or EMPTY_SET, low, high)
  return #found > 0 and commands.ZREM(name, unpack(found)) or 0
end

function commands.ZREMRANGEBYRANK(name, first, last)
  local found = commands.ZRANGE(name, first, last)
  return #found > 0 and commands.ZREM(name, unpack(found)) or 0
end

function commands.ZPOPMIN(name, count)
  local found = commands.ZRANGE(name, '0', tostring(whole(count or '1') - 1), 'WITHSCORES')
  for i = 1, #found, 2 do commands.ZREM(name, found[i]) end
  return found
end

function commands.ZUNIONSTORE(target, count, name)  -- of one source
  if count ~= '1' then fail('ERR only one source is simulated') end
  local members = commands.ZRANGE(name, '0', '-1', 'WITHSCORES')
  store.keys[target] = nil
  for i = 1, #members, 2 do commands.ZADD(target, members[i + 1], members[i]) end
  return #members / 2
end

-- Channels
local function publish(channel, message)
  store.published[#store.published + 1] = {channel, message}
  return store.listeners[channel] or 0
end
commands.PUBLISH, commands.SPUBLISH = publish, publish
function commands.PUBSUB(part, channel)
  local kind = part:upper()
  if kind ~= 'NUMSUB' and kind ~= 'SHARDNUMSUB' then fail('ERR unknown subcommand ' .. part) end
  return {channel, store.listeners[channel] or 0}
end
