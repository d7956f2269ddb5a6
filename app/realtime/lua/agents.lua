-- Shared: what is known of agents, a hash for each property, so that one call reads or writes that of many agents.

-- Redis keeps a small hash as a list, searched from its start, until one value is longer than 64 bytes: this field,
-- of no agent, makes it a table at once (a third of the cost of a batch of reports of 200 agents).
local function as_tables(...)
  for _, key in ipairs({...}) do redis.call('HSET', key, '', string.rep('-', 65)) end
end
