import { fullTime } from "../../time.js";
import { html } from "../preact.js";
import { Table, usePagedList } from "../paged-table.js";

/** The actions of the audit log; a test compares them with the server's. */
export const ACTIONS = [
  "DEPOSIT", "VULNERABILITY_FILED", "VULNERABILITY_CONFIRMED", "VULNERABILITY_REJECTED", "PAYMENT_REQUESTED", "PAYMENT_RETRIED",
  "PAYMENT_CANCELLED", "PAYMENT_RELEASED", "PAYMENT_FAILED", "TOKEN_ISSUED", "TOKEN_REVOKED",
  "WEBHOOK_CREATED", "WEBHOOK_SECRET_ROTATED", "WEBHOOK_ENABLED", "WEBHOOK_DISABLED", "WEBHOOK_DELETED", "WEBHOOK_TESTED",
  "WEBHOOK_REDELIVERED",
];
const FILTERS = { action: "action", subject: "who", protocolId: "about" };

export function Audit({ dashboard, address }) {
  const { values } = address;
  const query = new URLSearchParams(Object.entries(FILTERS).flatMap(([name, parameter]) => (values[parameter] ? [[name, values[parameter]]] : [])));
  const list = usePagedList(dashboard.api, `/audit${query.size ? `?${query}` : ""}`);
  const change = (parameter) => (event) => address.go({ [parameter]: event.target.value.trim() });
  const isFiltered = query.size > 0;
  return html`<section class="panel" aria-labelledby="audit-title">
    <header class="panel-head">
      <h2 id="audit-title">Audit log</h2>
      <div class="filters">
        <select aria-label="Action" value=${values.action} onChange=${change("action")}>
          <option value="" selected=${!values.action}>All actions</option>
          ${ACTIONS.map((each) => html`<option key=${each} value=${each} selected=${each === values.action}>${wordsOf(each)}</option>`)}
        </select>
        <input type="search" aria-label="Who" placeholder="Who" value=${values.who} maxlength="128" onChange=${change("who")} />
        <input type="search" aria-label="Protocol's id" placeholder="Protocol's id" value=${values.about} maxlength="64" onChange=${change("about")} />
        <button onClick=${() => list.load()}>Read again</button>
      </div>
    </header>
    <${Table} list=${list} label="Audit log" columns=${columnsOf(address)} keyOf=${({ id }) => id} empty=${isFiltered ? "Nothing matches." : "Nothing was done yet."} />
  </section>`;
}

const wordsOf = (action) => action.toLowerCase().replaceAll("_", " ");

function columnsOf(address) {
  return [
    { head: "When", cell: ({ at }) => html`<time datetime=${at}>${fullTime(at)}</time>` },
    { head: "Action", cell: ({ action }) => wordsOf(action) },
    { head: "Who", cell: ({ subject, role, address: from }) => html`<span dir="auto">${subject}</span> <span class="soft">${[role !== subject && role, from].filter(Boolean).join(" · ")}</span>` },
    { head: "Protocol", cell: ({ protocolId }) => protocolId && html`<a href=${address.href({ about: protocolId })}>${protocolId}</a>` },
    { head: "About", cell: (entry) => html`<${Target} entry=${entry} address=${address} />` },
    { head: "Change", cell: ({ before, after }) => html`<${Change} ...${{ before, after }} />` },
  ];
}

/** The object of an action: a finding or a payment is a link to its panel, a webhook to its deliveries. */
function Target({ entry: { action, targetId, protocolId }, address }) {
  if (action.startsWith("WEBHOOK_")) return html`<a href=${address.href({ protocol: protocolId, view: "webhooks", webhook: targetId })}><code>${targetId}</code></a>`;
  const panel = action.startsWith("VULNERABILITY_") ? "finding" : action.startsWith("PAYMENT_") ? "payment" : null;
  if (!panel || !protocolId) return html`<code>${targetId}</code>`;
  return html`<a href=${address.href({ protocol: protocolId, view: "overview", [panel]: targetId })}><code>${targetId}</code></a>`;
}

/** What the action changed, value by value. */
function Change({ before, after }) {
  const isSet = (values, name) => (values?.[name] ?? null) !== null;
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])].filter((name) => isSet(before, name) || isSet(after, name));
  return html`<ul class="changes">
    ${names.map((name) => html`<li key=${name}><span class="soft">${name}</span> ${isSet(before, name) && html`<del>${textOf(before[name])}</del> `}${isSet(after, name) && html`<span dir="auto">${textOf(after[name])}</span>`}</li>`)}
  </ul>`;
}

const textOf = (value) => (typeof value === "object" && value !== null ? JSON.stringify(value) : String(value));
