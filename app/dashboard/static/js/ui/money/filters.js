import { whole } from "../../money.js";
import { months, periodFault } from "../../period.js";
import { STATUS_WORDS } from "../payments.js";
import { html, useState } from "../preact.js";
import { CHANGE_WORDS } from "./entries.js";

const MONTHS = 12;
const LISTS = { payments: "Payments", ledger: "Ledger" };
const KINDS = {
  payments: { name: "paymentStatus", label: "Status", all: "All statuses", words: STATUS_WORDS },
  ledger: { name: "changeType", label: "Change", all: "All changes", words: CHANGE_WORDS },
};

/** The switch between the lists, for the heading. */
export function ListChoice({ address, failed }) {
  const { list } = address.values;
  return html`<div class="segments" role="group" aria-label="Show">
    ${Object.entries(LISTS).map(
      ([key, label]) => html`<button key=${key} aria-pressed=${String(key === list)} onClick=${() => address.go({ list: key })}>
        ${label}${key === "payments" && failed > 0 && html` <span class="count failed-count">${whole(failed)} failed</span>`}
      </button>`,
    )}
  </div>`;
}

export function MoneyFilters({ address, now }) {
  const { list, from, to } = address.values;
  const { name, label, all, words } = KINDS[list];
  const choices = [["ALL", all], ...Object.entries(words)];
  return html`<div class="filters money-filters">
    <select aria-label=${label} onChange=${(event) => address.go({ [name]: event.target.value })}>
      ${choices.map(([key, text]) => html`<option key=${key} value=${key} selected=${key === address.values[name]}>${text}</option>`)}
    </select>
    <${Period} ...${{ address, now }} />
  </div>
  <p class="print-only">${LISTS[list]}, ${choices.find(([key]) => key === address.values[name])[1]}${from && `, from ${from}`}${to && `, to ${to}`} (UTC)</p>`;
}

/** The latest months; other periods are chosen as days. */
function Period({ address, now }) {
  const { from, to } = address.values;
  const [isOther, setOther] = useState(false);
  const known = [{ key: "", label: "All time", from: "", to: "" }, ...months(now, MONTHS)];
  const current = isOther ? undefined : known.find((each) => each.from === from && each.to === to);
  const choose = (event) => {
    const chosen = known.find(({ key }) => key === event.target.value);
    setOther(!chosen);
    if (chosen) address.go({ from: chosen.from, to: chosen.to });
  };
  return html`<select aria-label="Period" onChange=${choose}>
      ${known.map(({ key, label }) => html`<option key=${key} value=${key} selected=${key === current?.key}>${label}</option>`)}
      <option value="other" selected=${!current}>Other days…</option>
    </select>
    ${!current && html`<${Days} ...${{ address, from, to }} />`}`;
}

function Days({ address, from, to }) {
  const fault = periodFault({ from, to });
  const change = (parameter) => (event) => address.go({ [parameter]: event.target.value });
  return html`
    <label class="day">from <input type="date" value=${from} max=${to || undefined} onChange=${change("from")} /></label>
    <label class="day">to <input type="date" value=${to} min=${from || undefined} onChange=${change("to")} /></label>
    <span class="hint">in UTC</span>
    ${fault && html`<span class="fault" role="alert">${fault}</span>`}
  `;
}
