/** One protocol, live: its pool, its agents, and whether the display is up to date. */
import { useRoom } from "@dashboard-realtime/client/react";
import { createElement as h } from "react";

export function Dashboard(options) {
  const { status, staleSince, error, state } = useRoom(options);
  return h(
    "section",
    { "aria-label": options.protocolId },
    h("p", { role: "status", "data-status": status }, staleSince ? `${status}, as of ${time(staleSince)}` : status),
    error && h("p", { role: "alert" }, `${error.code}: ${error.detail}`),
    state && h(Pool, state.pool),
    state && h(Agents, { agents: state.agents }),
  );
}

const time = (milliseconds) => new Date(milliseconds).toLocaleTimeString();

/** Amounts are displayed as the received decimal strings; as numbers they would not be exact. */
function Pool({ currency, ...pool }) {
  const amounts = ["total", "available", "reserved", "paid"].map((name) =>
    h("div", { key: name }, h("dt", null, name), h("dd", { "data-amount": name }, `${pool[name]} ${currency}`)),
  );
  return h("dl", null, amounts);
}

function Agents({ agents }) {
  return h("ul", null, agents.map((agent) => h(Agent, { key: agent.agentId, ...agent })));
}

function Agent({ agentId, name, task, progress, status }) {
  const doing = task ? `${task}, ${progress} %, ${status}` : "idle";
  return h("li", { "data-agent": agentId }, `${name ?? agentId}: ${doing}`);
}
