import { grouped, whole } from "../money.js";
import { ago, remaining } from "../time.js";
import { Empty, Panel, html, memo } from "./preact.js";
import { useSteadyOrder } from "./steady.js";
import { useWindowed } from "./windowed.js";

const CARD = { rowHeight: 6.95, columnWidth: 15.5, gap: 0.65 }; // in rem, as in the style sheet
const STALE_MS = 120_000;

const FILTERS = {
  all: ["All", () => true],
  working: ["Working", ({ kind }) => kind === "working"],
  failed: ["Failed", ({ kind }) => kind === "failed"],
  idle: ["Idle", ({ kind }) => kind === "idle"],
  offline: ["Silent", ({ kind }) => kind === "offline"],
};

/** The agent's kind, from its task and the time of its last report. */
function kindOf(agent, now) {
  const isSilent = agent.presence === "OFFLINE" || (agent.lastSeen && now - Date.parse(agent.lastSeen) > STALE_MS);
  if (isSilent) return "offline";
  return { RUNNING: "working", FAILED: "failed" }[agent.status] ?? "idle";
}

export function Agents({ agents, isTruncated, now, address, nextStep }) {
  const filter = address.values.agents;
  const setFilter = (key) => address.go({ agents: key });
  const seen = agents.map((agent) => ({ agent, kind: kindOf(agent, now) }));
  const shown = seen.filter(FILTERS[filter][1]).sort(failedFirst);
  const counts = Object.fromEntries(Object.entries(FILTERS).map(([key, [, keeps]]) => [key, seen.filter(keeps).length]));
  const aside = agents.length > 0 && html`<${Filters} ...${{ counts, filter, setFilter }} />`;
  return html`<${Panel} id="agents" title="Agents" aside=${aside}>
    ${agents.length === 0
      ? (nextStep ?? html`<${Empty} title="No agent has reported yet" />`)
      : html`<${Grid} ...${{ shown, seen, now, filter, address }} />`}
    ${isTruncated && html`<p class="none">There are more agents than are shown here: those that work or were seen last come first.</p>`}
  <//>`;
}

const { compare } = new Intl.Collator(undefined, { numeric: true });
const failedFirst = (a, b) => isFailed(b) - isFailed(a) || compare(nameOf(a.agent), nameOf(b.agent));
const isFailed = ({ agent }) => agent.status === "FAILED";
const nameOf = (agent) => agent.name ?? agent.agentId;

function Filters({ counts, filter, setFilter }) {
  return html`<div class="segments small" role="group" aria-label="Show agents">
    ${Object.entries(FILTERS).map(
      ([key, [label]]) =>
        (key === "all" || counts[key] > 0 || key === filter) &&
        html`<button key=${key} aria-pressed=${String(key === filter)} onClick=${() => setFilter(key)}>
          ${label} <span class="count">${whole(counts[key])}</span>
        </button>`,
    )}
  </div>`;
}

function Grid({ shown: present, seen, now, filter, address }) {
  const idOf = ({ agent }) => agent.agentId;
  const byId = new Map(seen.map((each) => [idOf(each), each]));
  const { rows: shown, place: list, news } = useSteadyOrder(present, { idOf, question: filter, latest: (id) => byId.get(id) });
  const { ref, columns, first, last, before, after } = useWindowed({ count: shown.length, ...CARD });
  const place = { paddingTop: `${before}px`, paddingBottom: `${after}px`, gridTemplateColumns: `repeat(${columns}, 1fr)` };
  return html`<div class="agents-list" ref=${list}>${news}<div class="agents-scroll" ref=${ref} tabindex="0" role="group" aria-label="Agents' cards">
    <ul class="agent-grid" style=${place}>
      ${shown.slice(first, last).map(
        ({ agent, kind }, index) =>
          html`<${AgentCard} key=${agent.agentId} ...${{ agent, kind, when: whenOf(agent, kind, now), href: address.href({ agent: agent.agentId }) }} at=${first + index + 1} of=${shown.length} />`,
      )}
    </ul>
    ${shown.length === 0 && html`<p class="none">None at the moment.</p>`}
  </div></div>`;
}

/** The line about time, computed here so that a card is redrawn only if its text changes. */
function whenOf(agent, kind, now) {
  const why = agent.status === "FAILED" && (agent.error?.message || "no reason given");
  const seen = agent.lastSeen ? `last seen ${ago(agent.lastSeen, now)}` : "not seen recently";
  if (kind === "offline") return why ? `${why} · ${seen}` : seen;
  if (kind === "failed") return why;
  if (kind === "idle") return "waiting for a task";
  return agent.estimatedCompletion ? remaining(agent.estimatedCompletion, now) : "no estimate";
}

const KIND_WORDS = { working: "working", failed: "failed", idle: "idle", offline: "silent" };

const AgentCard = memo(({ agent, kind, when, href, at, of }) => {
  const progress = Number(agent.progress);
  const name = nameOf(agent);
  const failed = agent.status === "FAILED" ? "has-failed" : "";
  return html`<li class="agent kind-${kind} ${failed}" aria-posinset=${at} aria-setsize=${of} data-agent=${agent.agentId}>
    <div class="agent-top">
      <a class="agent-name" href=${href} title=${name} dir="auto">${name}</a>
      <span class="agent-kind">${agent.type?.toLowerCase()} · ${failed && kind === "offline" ? "failed, " : ""}${KIND_WORDS[kind]}</span>
    </div>
    <div class="agent-task" dir="auto" title=${agent.task}>${agent.task}</div>
    <div class="agent-progress" role="progressbar" aria-label="${name}: ${agent.task}" aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(progress)}>
      <span style=${{ transform: `scaleX(${progress / 100})` }}></span>
    </div>
    <div class="agent-foot"><span class="agent-when" dir="auto" title=${when}>${when}</span><span class="agent-percent">${grouped(agent.progress)} %</span></div>
  </li>`;
});
