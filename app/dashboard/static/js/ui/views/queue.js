import { actionsFor } from "../../finding-actions.js";
import { SEVERITIES, afterDecision, queueOf } from "../../finding-order.js";
import { withCurrency } from "../../money.js";
import { fullTime, span } from "../../time.js";
import { Empty, Panel, html, memo, useEffect } from "../preact.js";
import { useSteadyOrder } from "../steady.js";
import { useWindowed } from "../windowed.js";

const ROW = { wide: 4.2, narrow: 7.2 }; // in rem
const WIDE_FROM = 38;
const MAX_READ = 1000;

/** How many findings wait for a decision. */
export const countOf = ({ findings }) => findings.tally().PENDING ?? 0;

/** What waits for a decision: the gravest first, of those the oldest. After a decision the next one opens. */
export function Queue({ dashboard, actions, address }) {
  const { findings } = dashboard;
  const rows = queueOf(findings);
  useMissing(dashboard, rows.length);
  const first = rows.length > 0 && html`<a class="button is-primary" href=${address.href({ finding: rows[0].id })}>Open the first</a>`;
  return html`<div class="queue-view">
    <${Panel} id="queue" title="Waiting for a decision" aside=${html`<${Counts} rows=${rows} />${first}`}>
      ${findings.error && html`<p class="fault">The list could not be read: ${findings.error.message}</p>`}
      ${rows.length === 0
        ? html`<${Empty} title=${findings.isLoaded ? "Nothing is waiting" : "Reading the list…"}>What agents and validators file appears here, the gravest first.<//>`
        : html`<${List} ...${{ present: rows, isLoaded: findings.isLoaded, dashboard, actions, address }} />`}
    <//>
  </div>`;
}

/** The list of findings ends at the newest few thousand: older ones that still wait are read apart. */
function useMissing(dashboard, held) {
  const { findings, api, room } = dashboard;
  const isMissing = findings.isLoaded && countOf(dashboard) > held;
  useEffect(() => {
    if (!isMissing) return;
    const read = async () => {
      const path = `/protocols/${encodeURIComponent(room.protocolId)}/vulnerabilities?status=PENDING&sort=severity`;
      for await (const items of api.pages(path, MAX_READ)) findings.add(items);
      dashboard.redraw();
    };
    read().catch(() => {}); // the count beside the list still tells of them, and the next snapshot tries again
  }, [findings, isMissing]);
}

function Counts({ rows }) {
  const count = (severity) => rows.filter((row) => row.severity === severity).length;
  const some = SEVERITIES.map((severity) => [severity, count(severity)]).filter(([, number]) => number > 0);
  return html`<ul class="queue-counts" aria-label="Waiting, by severity">
    ${some.map(([severity, number]) => html`<li key=${severity} class="severity severity-${severity}">${number} ${severity.toLowerCase()}</li>`)}
  </ul>`;
}

function List({ present, isLoaded, dashboard, actions, address }) {
  const { findings, session, now } = dashboard;
  const { rows, place, news } = useSteadyOrder(present, { idOf: ({ id }) => id, question: "", latest: (id) => findings.byId.get(id), isHeldOnTouch: isLoaded });
  const rowHeight = (width) => (width >= WIDE_FROM ? ROW.wide : ROW.narrow);
  const { ref, width, first, last, before, after } = useWindowed({ count: rows.length, rowHeight });
  const shared = { session, actions, address, dashboard };
  return html`<div class="queue-list ${width >= WIDE_FROM ? "" : "is-narrow"}" ref=${place} style=${{ "--row": `${rowHeight(width)}rem` }}>
    ${news}
    <div class="queue-scroll" ref=${ref} tabindex="0" role="group" aria-label="Waiting findings, the gravest first">
      <ol style=${{ paddingTop: `${before}px`, paddingBottom: `${after}px` }}>
        ${rows.slice(first, last).map(
          (finding, index) =>
            html`<${Row} key=${finding.id} ...${{ finding, ...shared, href: address.href({ finding: finding.id }), isOpen: finding.id === address.values.finding }} at=${first + index + 1} of=${rows.length} age=${span(now - Date.parse(finding.createdAt))} />`,
        )}
      </ol>
    </div>
  </div>`;
}

const Row = memo(({ finding, session, actions, address, dashboard, href, isOpen, at, of, age }) => {
  const { id, severity, status, title, bounty, agentId, createdAt } = finding;
  const isDecided = status !== "PENDING";
  const by = agentId && `by ${dashboard.agentName(agentId)}`;
  const money = bounty && withCurrency(bounty, dashboard.state.pool.currency);
  const decide = (run) => {
    const next = afterDecision(dashboard.findings, id);
    run(actions, { afterwards: () => address.go({ finding: next() }) });
  };
  return html`<li class="queue-row" data-finding=${id} aria-posinset=${at} aria-setsize=${of} aria-current=${isOpen ? "true" : undefined}>
    <span class="severity severity-${severity}">${severity.toLowerCase()}</span>
    <a class="finding-link" href=${href}>
      <span class="finding-title" dir="auto">${title}</span>
      <span class="finding-by" dir="auto">${[by, money].filter(Boolean).join(" · ")}</span>
    </a>
    <time class="queue-age" datetime=${createdAt} title=${fullTime(createdAt)}>${isDecided ? status.toLowerCase() : age}</time>
    <span class="cell-actions">${actionsFor(finding, null, session).map(
      ({ name, label, key, isGood, run }) =>
        html`<button key=${name} class=${isGood ? "good" : ""} aria-label="${label}: ${title}" aria-keyshortcuts=${key} onClick=${() => decide(run)}>${label}</button>`,
    )}</span>
  </li>`;
});
