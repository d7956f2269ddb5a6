-- Reserve two versions for each report that is stored before it enters its room: its own, and that of the next task.
-- KEYS: those of keys.lua that a report needs, of the room in which the agents work. ARGV: protocol id, expected steady
-- time, then of each report its agent and the version that the room of the report knows; an agent may be repeated.
-- Reply: the steady time; for each report the first of the two versions.
local result = {text(now)}
for i = 3, #ARGV, 2 do
  local name, agent = ARGV[i], read_agent(ARGV[i])
  local version = math.max(wall, agent.version + 1, ARGV[i + 1] + 1)
  agent.version = version + 1
  save_agent(name, agent)
  keep_agent(name)
  result[#result + 1] = text(version)
end
touch_room()
count_change()
return result
