import { reportCommand, tokenCommand } from "../../shell-commands.js";
import { ago } from "../../time.js";
import { Copyable } from "../copyable.js";
import { html, useState } from "../preact.js";
import { Form } from "../form.js";
import { Table, usePagedList } from "../paged-table.js";
import { NewToken } from "./new-token.js";
import { idFault } from "./protocols.js";

const TYPES = [
  ["RESEARCHER", "Researcher"],
  ["PROTOCOL", "Protocol"],
  ["VALIDATOR", "Validator"],
];
const FIELDS = [
  { name: "name", label: "Name", required: true, maxlength: 200 },
  { name: "id", label: "Id", maxlength: 64, hint: "Optional: also the name in the agent's token. Without one, the server makes one." },
  { name: "type", label: "Type", options: TYPES, value: "RESEARCHER", isKept: true },
];
const TOKEN_SECONDS = 30 * 86_400;

export function AgentsSection({ dashboard, address }) {
  const { api } = dashboard;
  const [made, setMade] = useState(null);
  const list = usePagedList(api, "/agents");
  const create = async ({ name, id, type }) => {
    const { body } = await api.post("/agents", { name, type, ...(id && { id }) });
    setMade(body);
    list.load();
  };
  return html`
    <section class="panel" aria-labelledby="new-agent-title">
      <header class="panel-head"><h2 id="new-agent-title">Create an agent</h2></header>
      <${Form} id="new-agent" submit="Create agent" fields=${FIELDS} check=${idFault} send=${create} />
      ${made && html`<${Made} key=${made.id} agent=${made} ...${{ dashboard, address }} />`}
    </section>
    <section class="panel" aria-labelledby="agents-title">
      <header class="panel-head"><h2 id="agents-title">Agents</h2></header>
      <${Table} list=${list} label="Agents" columns=${columnsOf(dashboard.now, address)} keyOf=${({ id }) => id} empty="There is none yet." />
    </section>
  `;
}

function columnsOf(now, address) {
  return [
    { head: "Name", cell: ({ id, name, currentTask }) => (currentTask ? html`<a href=${address.href({ protocol: currentTask.protocolId, view: "overview", agent: id })} dir="auto">${name}</a>` : html`<span dir="auto">${name}</span>`) },
    { head: "Id", cell: ({ id, name }) => html`<${Copyable} text=${id} label="the id of ${name}" />` },
    { head: "Type", cell: ({ type }) => type.toLowerCase() },
    { head: "Heard", cell: ({ lastSeen, status }) => (lastSeen ? `${status.toLowerCase()} · ${ago(lastSeen, now)}` : "never") },
    { head: "Task", cell: ({ currentTask }) => (currentTask ? html`<span dir="auto">${currentTask.task}</span>` : "") },
  ];
}

/** The agent's id, and what is next: its token, and its first report. */
function Made({ agent: { id, name }, dashboard, address }) {
  const [issued, setIssued] = useState(null);
  const [problem, setProblem] = useState("");
  const ids = dashboard.protocols.map((each) => each.id);
  const protocol = ids.includes(address.values.protocol) ? address.values.protocol : ids[0];
  const claims = { sub: id, role: "agent", protocols: [protocol], ttl: TOKEN_SECONDS };
  const issue = () => dashboard.api.post("/tokens", claims).then(({ body }) => setIssued({ ...body, ...claims }), ({ message }) => setProblem(message));
  const created = html`<p><strong dir="auto">${name}</strong> was created: <${Copyable} text=${id} label="the agent's id" /></p>`;
  if (!protocol) return html`<div class="made" role="status">${created}<p>Next: <a href=${address.href({ section: "protocols" })}>create a protocol</a> for it to work on.</p></div>`;
  return html`<div class="made" role="status">
    ${created}
    ${issued
      ? html`<${NewToken} issued=${issued} onDone=${() => setIssued(null)} />`
      : html`<p>Next: its token, for 30 days and the protocol ${protocol}. <button type="button" onClick=${issue}>Issue its token</button></p>`}
    ${problem && html`<p class="fault" role="alert">${problem}</p>`}
    <p class="soft">In a terminal, the same, and its first report:</p>
    <${Copyable} text=${tokenCommand("agent", protocol, id)} label="the command for its token" />
    <${Copyable} text=${reportCommand(id, protocol)} label="the command for its first report" />
  </div>`;
}
