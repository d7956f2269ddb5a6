import { whole } from "../money.js";
import { html } from "./preact.js";

const STATUSES = ["PENDING", "CONFIRMED", "PAID", "REJECTED"];
const SEVERITIES = ["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"];
const capitalised = (word) => word[0] + word.slice(1).toLowerCase();

export function FindingFilters({ address, tally, total, failed }) {
  const { status, severity, q } = address.values;
  const change = (name) => (event) => address.go({ [name]: event.target.value });
  const count = (status) => tally[status] ?? 0;
  const statuses = [
    ["ALL", `All statuses (${whole(total)})`],
    ["OPEN", `Open (${whole(count("PENDING") + count("CONFIRMED"))})`],
    ...STATUSES.map((each) => [each, `${capitalised(each)} (${whole(count(each))})`]),
    ...(failed > 0 || status === "FAILED" ? [["FAILED", `Payment failed (${whole(failed)})`]] : []),
  ];
  const severities = [["ALL", "All severities"], ...SEVERITIES.map((each) => [each, capitalised(each)])];
  return html`<div class="filters">
    <${Choice} label="Status" value=${status} options=${statuses} onChange=${change("status")} />
    <${Choice} label="Severity" value=${severity} options=${severities} onChange=${change("severity")} />
    <input type="search" placeholder="Search" aria-label="Search titles and agents" aria-keyshortcuts="/" value=${q} maxlength="200" onInput=${change("q")} />
  </div>`;
}

function Choice({ label, value, options, onChange }) {
  return html`<select aria-label=${label} value=${value} onChange=${onChange}>
    ${options.map(([key, text]) => html`<option key=${key} value=${key} selected=${key === value}>${text}</option>`)}
  </select>`;
}
