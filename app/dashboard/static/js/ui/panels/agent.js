import { grouped } from "../../money.js";
import { ago, fullTime, remaining, span } from "../../time.js";
import { usePagedList } from "../paged-table.js";
import { Copyable } from "../copyable.js";
import { html, useEffect, useState } from "../preact.js";
import { SidePanel } from "./host.js";

const STATUS_WORDS = { RUNNING: "working", FAILED: "failed", COMPLETED: "finished", SUPERSEDED: "left for another task", IDLE: "turned to another protocol", QUEUED: "waits" };

/** An agent: its present task as it changes, then its queue, its past tasks with their errors, and what it filed. */
export function AgentPanel({ id, dashboard, state, address }) {
  const live = state.agents.get(id);
  const { agent, fault } = useAgent(dashboard.api, id, `${live?.version} ${live?.status}`);
  if (fault && !live) return html`<${SidePanel} title="Agent" address=${address}><p class="fault" role="alert">${fault}</p><//>`;
  const about = { ...agent, ...(live && { lastSeen: live.lastSeen ?? agent?.lastSeen }) };
  const name = live?.name ?? agent?.name ?? id;
  return html`<${SidePanel} title=${name} address=${address}>
    <${About} ...${{ id, about, now: dashboard.now }} />
    <${Current} ...${{ live, agent, protocolId: state.protocol.id, now: dashboard.now }} />
    ${(live || agent) && html`<${Work} ...${{ id, live, dashboard }} />`}
    <${Filed} ...${{ id, dashboard, address }} />
  <//>`;
}

/** The agent as the server describes it, read again when its task changes. */
function useAgent(api, id, change) {
  const [read, setRead] = useState({ agent: null, fault: null });
  useEffect(() => {
    let isGone = false;
    const keep = (next) => isGone || setRead((before) => ({ ...before, ...next }));
    api.get(`/agents/${encodeURIComponent(id)}`).then((agent) => keep({ agent, fault: null }), ({ message }) => keep({ fault: message }));
    return () => (isGone = true);
  }, [id, change]);
  return read;
}

function About({ id, about: { type, lastSeen, status, createdAt }, now }) {
  const heard = lastSeen ? html`<time datetime=${lastSeen} title=${fullTime(lastSeen)}>${ago(lastSeen, now)}</time>` : "never";
  return html`<dl class="numbers">
    <div><dt>Last heard</dt><dd data-field="heard">${heard}${status === "OFFLINE" && lastSeen ? ", silent since" : ""}</dd></div>
    ${type && html`<div><dt>Type</dt><dd>${type.toLowerCase()}</dd></div>`}
    ${createdAt && html`<div><dt>Created</dt><dd>${fullTime(createdAt)}</dd></div>`}
    <div><dt>Id</dt><dd><${Copyable} text=${id} label="the agent's id" /></dd></div>
  </dl>`;
}

/** Of this protocol from the room, live; of another one as it was when the panel read it. */
function Current({ live, agent, protocolId, now }) {
  const elsewhere = agent?.currentTask?.protocolId !== protocolId ? agent?.currentTask : null;
  const shown = live ?? elsewhere;
  if (!shown?.task) return html`<section><h3>Now</h3><p class="none">${agent ? "It has no task." : "Reading…"}</p></section>`;
  const { task, status, progress, estimatedCompletion, error } = shown;
  return html`<section data-status=${status}>
    <h3>Now${live ? "" : ` in ${elsewhere.protocolId}`}</h3>
    <p class="task-line"><strong dir="auto">${task}</strong><span class="state state-${status === "RUNNING" ? "PAID" : status}">${STATUS_WORDS[status] ?? status}</span></p>
    <div class="agent-progress" role="progressbar" aria-label=${task} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(Number(progress))}>
      <span style=${{ transform: `scaleX(${Number(progress) / 100})` }}></span>
    </div>
    <p class="task-line soft"><span>${status === "RUNNING" && estimatedCompletion ? remaining(estimatedCompletion, now) : ""}</span><span>${grouped(progress)} %</span></p>
    <${TaskError} error=${error} />
  </section>`;
}

/** In full, as the agent reported it. */
const TaskError = ({ error }) =>
  error && html`<p class="task-error" dir="auto">${error.code && html`<code>${error.code}</code> `}${error.message ?? error}</p>`;

/** Its queue and its past tasks, read again when it turns to another task. */
function Work({ id, live, dashboard }) {
  const path = `/agents/${encodeURIComponent(id)}/tasks?closed=`;
  const [queue, history] = [usePagedList(dashboard.api, `${path}false`), usePagedList(dashboard.api, `${path}true`)];
  const isClosed = live?.status !== "RUNNING";
  useEffect(() => [queue, history].forEach((list) => list.isRead && list.load()), [live?.task, isClosed]);
  return html`
    <${Tasks} title="Queue" list=${queue} empty="Nothing waits." keeps=${({ status }) => status === "QUEUED"} now=${dashboard.now} />
    <${Tasks} title="Past tasks" list=${history} empty="It has closed no task yet." now=${dashboard.now} />
  `;
}

function Tasks({ title, list, empty, keeps = () => true, now }) {
  const shown = list.items.filter(keeps);
  return html`<section>
    <h3>${title}${shown.length > 0 && html` <span class="count">${shown.length}${list.hasMore ? "+" : ""}</span>`}</h3>
    ${list.error && html`<p class="fault" role="alert">${list.error.message}</p>`}
    ${!list.isRead && !list.error && html`<p class="none" role="status">Reading…</p>`}
    ${list.isRead && shown.length === 0 && html`<p class="none">${empty}</p>`}
    <ol class="tasks">
      ${shown.map((task) => html`<li key=${task.id} data-task=${task.id} data-status=${task.status}>
        <p class="task-line"><span dir="auto">${task.name}</span><span class="state state-${task.status === "COMPLETED" ? "PAID" : task.status}">${STATUS_WORDS[task.status]}</span></p>
        <p class="task-line soft"><span>${task.protocolId}</span>${whenOf(task, now)}</p>
        <${TaskError} error=${task.error} />
      </li>`)}
    </ol>
    ${list.hasMore && html`<p><button onClick=${() => list.more()}>Show older</button></p>`}
  </section>`;
}

function whenOf({ createdAt, startedAt, closedAt }, now) {
  const at = closedAt ?? createdAt;
  const took = closedAt && startedAt ? ` after ${span(Date.parse(closedAt) - Date.parse(startedAt))}` : "";
  return html`<time datetime=${at} title=${fullTime(at)}>${closedAt ? "" : "queued "}${ago(at, now)}${took}</time>`;
}

/** The agent's findings in this protocol, newest first. */
function Filed({ id, dashboard, address }) {
  const all = [...dashboard.findings.byId.values()].filter(({ agentId }) => agentId === id);
  const filed = all.sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
  return html`<section>
    <h3>Findings in this protocol <span class="count">${filed.length}</span></h3>
    ${filed.length === 0 && html`<p class="none">${dashboard.findings.isLoaded ? "It has filed none." : "Reading…"}</p>`}
    <ul class="tasks">
      ${filed.slice(0, 100).map(({ id: findingId, title, severity, status }) => html`<li key=${findingId} class="task-line">
        <a href=${address.href({ finding: findingId })} dir="auto">${title}</a>
        <span><span class="severity severity-${severity}">${severity.toLowerCase()}</span> <span class="state state-${status}">${status.toLowerCase()}</span></span>
      </li>`)}
    </ul>
    ${filed.length > 100 && html`<p class="none">The newest 100 are shown.</p>`}
  </section>`;
}
