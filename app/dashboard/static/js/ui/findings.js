import { actionsFor } from "../finding-actions.js";
import { sortOf } from "../finding-order.js";
import { withCurrency } from "../money.js";
import { ago, fullTime } from "../time.js";
import { Empty, Panel, html, memo } from "./preact.js";
import { FindingFilters } from "./findings-filters.js";
import { layoutOf } from "./finding-layout.js";
import { COLUMNS, Head, SortChoice } from "./finding-sort.js";
import { useSteadyOrder } from "./steady.js";
import { useWindowed } from "./windowed.js";

export function FindingsPanel({ findings, open, address, nextStep, ...shared }) {
  const { status, severity, q } = address.values;
  const sort = sortOf(address.values.sort);
  const setSort = ({ by, descending }) => address.go({ sort: `${descending ? "-" : ""}${by}` });
  const hasFailed = (finding) => paymentOf(finding, shared.payments)?.status === "FAILED";
  const rows = findings.rows({ status, severity, text: q, sort, hasFailed });
  const { total } = findings;
  const aside = html`<${FindingFilters} ...${{ address, tally: findings.tally(), total, failed: failedOf(shared.payments) }} />`;
  return html`<${Panel} id="findings" title="Vulnerabilities" aside=${aside}>
    ${findings.error && html`<p class="fault">The list could not be read: ${findings.error.message}</p>`}
    ${total === 0 && open.size === 0
      ? (nextStep ?? html`<${Empty} title="Nothing was filed yet" />`)
      : html`<${Table} ...${{ findings, rows, isLoaded: findings.isLoaded, sort, setSort, address, ...shared }} />`}
  <//>`;
}

const failedOf = (payments) => [...payments.values()].filter(({ status }) => status === "FAILED").length;
const paymentOf = ({ paymentId, status }, payments, others) =>
  status === "CONFIRMED" && paymentId ? (payments.get(paymentId) ?? others?.get(paymentId) ?? UNLISTED) : null;
const UNLISTED = Object.freeze({ status: "PROCESSING" }); // until it is read

function Table({ findings, rows: present, isLoaded, sort, setSort, address, payments, otherPayments, actions, session, now, agentName, currency }) {
  const { status, severity, q } = address.values;
  const { rows, place: list, news } = useSteadyOrder(present, {
    idOf: ({ id }) => id,
    question: [status, severity, q, address.values.sort].join("\n"),
    latest: (id) => findings.byId.get(id),
    isHeldOnTouch: isLoaded,
  });
  const content = { canAct: session.may("validator", "owner"), longest: longestBounty(rows, currency) };
  const rowHeight = (width) => layoutOf(width, content).rowHeight;
  const { ref, width, first, last, before, after } = useWindowed({ count: rows.length, rowHeight });
  const layout = layoutOf(width, content);
  const place = { paddingTop: `${before}px`, paddingBottom: `${after}px` };
  return html`<div class="findings ${layout.name}" ref=${list} style=${{ "--row": `${layout.rowHeight}rem`, "--columns": layout.columns ?? "none" }}>
    ${news}
    ${!layout.isTable && html`<${SortChoice} ...${{ sort, setSort }} />`}
    <div class="finding-table" role="table" aria-label="Vulnerabilities" aria-rowcount=${rows.length + 1}>
      ${layout.isTable && html`<${Heads} ...${{ sort, setSort }} />`}
      <div class="finding-scroll" role="rowgroup" ref=${ref} tabindex="0" aria-label="Rows"><div role="presentation" style=${place}>
        ${rows.slice(first, last).map(
          (finding, index) =>
            html`<${Row} key=${finding.id} ...${{ finding, currency, actions, session, href: address.href({ finding: finding.id }) }} payment=${paymentOf(finding, payments, otherPayments)} by=${finding.agentId && agentName(finding.agentId)} index=${first + index + 2} filed=${ago(finding.createdAt, now)} />`,
        )}
      </div></div>
    </div>
    ${rows.length === 0 && html`<p class="none" role="status">${isLoaded ? html`Nothing matches. <a class="link" href=${address.href(ALL)}>Show all</a>` : "Reading the list…"}</p>`}
  </div>`;
}

const ALL = { status: "ALL", severity: "ALL", q: "" };

/** The length in characters, with currency. Runs over every row on every frame, so it formats only one. */
function longestBounty(rows, currency = "") {
  const longest = rows.reduce((most, { bounty }) => (bounty?.length > most.length ? bounty : most), "");
  return withCurrency(longest, currency).length;
}

function Heads({ sort, setSort }) {
  return html`<div role="rowgroup" class="finding-head"><div role="row" class="finding-row" aria-rowindex="1">
    ${COLUMNS.map(([by, label]) => html`<${Head} key=${label} ...${{ by, label, sort, setSort }} />`)}
    <span role="columnheader" class="cell-actions"><span class="visually-hidden">Actions</span></span>
  </div></div>`;
}

const Row = memo(({ finding, payment, by, currency, actions, session, href, index, filed }) => {
  const { id, severity, title, bounty, status, createdAt, rejectionReason } = finding;
  return html`<div role="row" class="finding-row" aria-rowindex=${index} data-finding=${id} data-status=${status}>
    <span role="cell" class="cell-severity"><span class="severity severity-${severity}">${severity.toLowerCase()}</span></span>
    <span role="cell" class="cell-title" title=${rejectionReason ? `${title}: ${rejectionReason}` : title}>
      <a class="finding-link" href=${href}>
        <span class="finding-title" dir="auto">${title}</span>
        <span class="finding-by" dir="auto">${status === "REJECTED" ? rejectionReason : by && `by ${by}`}</span>
      </a>
    </span>
    <span role="cell" class="cell-bounty">${bounty ? withCurrency(bounty, currency) : "no bounty"}</span>
    <span role="cell" class="cell-status"><span class="state state-${payment?.status === "FAILED" ? "FAILED" : status}">${stateWords(status, payment)}</span></span>
    <span role="cell" class="cell-date"><time datetime=${createdAt} title=${fullTime(createdAt)}>${filed}</time></span>
    <span role="cell" class="cell-actions"><${RowActions} ...${{ finding, payment, actions, session }} /></span>
  </div>`;
});

export function stateWords(status, payment) {
  if (status !== "CONFIRMED" || !payment || payment.status === "CANCELLED") return status.toLowerCase();
  return payment.status === "FAILED" ? "payment failed" : "paying";
}

function RowActions({ finding, payment, actions, session }) {
  return actionsFor(finding, payment, session).map(
    ({ name, label, about, key, isGood, run }) =>
      html`<button key=${name} class=${isGood ? "good" : ""} aria-label="${about ?? label}: ${finding.title}" aria-keyshortcuts=${key} onClick=${() => run(actions)}>${label}</button>`,
  );
}
