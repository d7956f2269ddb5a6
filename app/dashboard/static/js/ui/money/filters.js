import { months, periodFault } from "../../period.js";
import { html } from "../preact.js";
import { CHANGE_WORDS } from "./entries.js";
import { STATUS_WORDS } from "./payments.js";

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
        ${label}${key === "payments" && failed > 0 && html` <span class="count failed-count">${failed} failed</span>`}
      </button>`,
    )}
  </div>`;
}

export function MoneyFilters({ address, now }) {
  const { list, from, to } = address.values;
  const { name, label, all, words } = KINDS[list];
  const choices = [["ALL", all], ...Object.entries(words)];
  const change = (parameter) => (event) => address.go({ [parameter]: event.target.value });
  const fault = periodFault({ from, to });
  return html`<div class="filters money-filters">
    <select aria-label=${label} onChange=${change(name)}>
      ${choices.map(([key, text]) => html`<option key=${key} value=${key} selected=${key === address.values[name]}>${text}</option>`)}
    </select>
    <${MonthChoice} ...${{ address, now }} />
    <label class="day">from <input type="date" value=${from} max=${to || undefined} onChange=${change("from")} /></label>
    <label class="day">to <input type="date" value=${to} min=${from || undefined} onChange=${change("to")} /></label>
    <span class="hint">days in UTC</span>
    ${fault && html`<span class="fault" role="alert">${fault}</span>`}
  </div>
  <p class="print-only">${LISTS[list]}, ${choices.find(([key]) => key === address.values[name])[1]}${from && `, from ${from}`}${to && `, to ${to}`} (UTC)</p>`;
}

/** The latest months as periods; other periods are typed as days. */
function MonthChoice({ address, now }) {
  const { from, to } = address.values;
  const known = [{ key: "", label: "All time", from: "", to: "" }, ...months(now, MONTHS)];
  const current = known.find((each) => each.from === from && each.to === to);
  const choose = (event) => {
    const chosen = known.find(({ key }) => key === event.target.value);
    if (chosen) address.go({ from: chosen.from, to: chosen.to });
  };
  return html`<select aria-label="Period" onChange=${choose}>
    ${!current && html`<option value="other" selected>Other days</option>`}
    ${known.map(({ key, label }) => html`<option key=${key} value=${key} selected=${key === current?.key}>${label}</option>`)}
  </select>`;
}
