import { grouped, minorUnits, share } from "../money.js";
import { RANGES, inRange } from "../pool-history.js";
import { PoolChart } from "./chart.js";
import { Empty, Panel, html, useMemo } from "./preact.js";

const REDRAW_MS = 5000; // how often the chart advances without changes
const PARTS = [
  ["available", "Available"],
  ["reserved", "Reserved"],
  ["paid", "Paid out"],
];

export function PoolPanel({ pool, ledger, actions, session, address, now }) {
  if (!pool) return html`<${Panel} id="pool" title="Bounty pool"><${Empty} title="No pool yet" /><//>`;
  const available = grouped(pool.available);
  const deposit = session.may("owner") && html`<button class="primary" onClick=${() => actions.deposit()}>Deposit</button>`;
  return html`<${Panel} id="pool" title="Bounty pool" aside=${deposit}>
    <p class="pool-total">
      <span class="pool-figure" data-field="available" style=${{ "--characters": available.length }}>${available}</span>
      <span class="pool-unit">${pool.currency} available</span>
    </p>
    <${PoolBar} pool=${pool} />
    <dl class="pool-parts">
      ${PARTS.slice(1).map(([key, label]) => html`<div key=${key} class="part-${key}"><dt>${label}</dt><dd>${amountOf(pool, key, address)}</dd></div>`)}
      <div class="part-total"><dt>Deposited</dt><dd data-field="total">${grouped(pool.total)}</dd></div>
    </dl>
    ${ledger.error && html`<p class="fault">The history could not be read: ${ledger.error.message}</p>`}
    <${History} ...${{ ledger, pool, address }} until=${Math.floor(now / REDRAW_MS) * REDRAW_MS} />
  <//>`;
}

/** The reserved amount opens the findings that it consists of. */
function amountOf(pool, key, address) {
  const text = grouped(pool[key]);
  if (key !== "reserved" || !minorUnits(pool.reserved)) return text;
  return html`<a href=${address.href({ reserved: "true" })} aria-label="${text} reserved: show the findings">${text}</a>`;
}

function History({ ledger: { points, error }, pool: { currency, total }, address, until }) {
  const { range } = address.values;
  const shown = useMemo(() => inRange(points, range, until), [points, range, until]);
  return html`<div class="pool-history">
    <div class="segments small chart-ranges" role="group" aria-label="Range of the chart">
      ${Object.keys(RANGES).map(
        (each) => html`<button key=${each} aria-pressed=${String(each === range)} onClick=${() => address.go({ range: each })}>${each}</button>`,
      )}
    </div>
    ${points.length === 0 && minorUnits(total)
      ? html`<div class="chart"></div><p class="chart-values">${error ? "" : "Reading the history…"}</p>`
      : html`<${PoolChart} points=${shown} currency=${currency} until=${until} />`}
  </div>`;
}

function PoolBar({ pool }) {
  const label = PARTS.map(([key, name]) => `${name} ${Math.round(share(pool[key], pool.total) * 100)} %`).join(", ");
  return html`<div class="pool-bar" role="img" aria-label=${label}>
    ${PARTS.filter(([key]) => minorUnits(pool[key])).map(([key]) => html`<span key=${key} class="part-${key}" style=${{ flexGrow: share(pool[key], pool.total) }}></span>`)}
  </div>`;
}
