-- Reserve two versions for each report that is stored before it enters its room: its own, and that of the next task.
-- KEYS: those of keys.lua that a report needs, of the room in which the agents work. ARGV: protocol id, expected steady
-- time, then agents; one may be named repeatedly.
-- Reply: the steady time; for each agent the first of the two versions.
local result = {text(now)}
for i = 3, #ARGV do
  local agent = read_agent(ARGV[i])
  local version = math.max(wall, agent.version + 1)
  agent.version = version + 1
  save_agent(ARGV[i], agent)
  keep_agent(ARGV[i])
  result[#result + 1] = text(version)
end
touch_room()
return result
