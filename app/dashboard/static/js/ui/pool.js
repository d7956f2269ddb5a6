import { grouped, minorUnits, share } from "../money.js";
import { PoolChart } from "./chart.js";
import { Empty, Panel, html } from "./preact.js";

const REDRAW_MS = 5000; // how often the chart advances without changes
const PARTS = [
  ["available", "Available"],
  ["reserved", "Reserved"],
  ["paid", "Paid out"],
];

export function PoolPanel({ pool, points, fault, actions, session, now = Date.now() }) {
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
      ${PARTS.map(([key, label]) => html`<div key=${key} class="part-${key}"><dt>${label}</dt><dd>${grouped(pool[key])}</dd></div>`)}
      <div class="part-total"><dt>Deposited</dt><dd data-field="total">${grouped(pool.total)}</dd></div>
    </dl>
    ${fault && html`<p class="fault">The history could not be read: ${fault.message}</p>`}
    <${PoolChart} points=${points} currency=${pool.currency} until=${Math.floor(now / REDRAW_MS) * REDRAW_MS} />
  <//>`;
}

function PoolBar({ pool }) {
  const label = PARTS.map(([key, name]) => `${name} ${Math.round(share(pool[key], pool.total) * 100)} %`).join(", ");
  return html`<div class="pool-bar" role="img" aria-label=${label}>
    ${PARTS.filter(([key]) => minorUnits(pool[key])).map(([key]) => html`<span key=${key} class="part-${key}" style=${{ flexGrow: share(pool[key], pool.total) }}></span>`)}
  </div>`;
}
