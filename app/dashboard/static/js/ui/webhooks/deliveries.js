import { counted } from "../../money.js";
import { Table, usePagedList } from "../paged-table.js";
import { Moment } from "../moment.js";
import { html } from "../preact.js";
import { useRefresh } from "./refresh.js";

const STATUSES = [["ALL", "All"], ["PENDING", "Waiting"], ["SUCCEEDED", "Delivered"], ["FAILED", "Failed"]];
const WORDS = Object.fromEntries(STATUSES.map(([status, word]) => [status, word.toLowerCase()]));
const TONES = { PENDING: "PENDING", SUCCEEDED: "RELEASED", FAILED: "FAILED" };

/** What a webhook was sent, newest first, with the outcome of each attempt. */
export function Deliveries({ webhook: { id, url, status: state }, dashboard, address }) {
  const { deliveries: status } = address.values;
  const list = usePagedList(dashboard.api, `/webhooks/${id}/deliveries${status === "ALL" ? "" : `?status=${status}`}`);
  useRefresh(list);
  const again = (delivery) =>
    dashboard.api.post(`/webhook-deliveries/${delivery.id}/redeliver`, {}).then(() => dashboard.say("It is delivered again."), ({ message }) => dashboard.say(message, "bad")).then(() => list.load());
  return html`<section class="panel" aria-labelledby="deliveries-title">
    <header class="panel-head">
      <h2 id="deliveries-title">Deliveries to ${url}</h2>
      <div class="filters">
        <select aria-label="Deliveries" value=${status} onChange=${(event) => address.go({ deliveries: event.target.value })}>
          ${STATUSES.map(([each, word]) => html`<option key=${each} value=${each} selected=${each === status}>${word}</option>`)}
        </select>
      </div>
    </header>
    <${Table} list=${list} label="Deliveries" columns=${columnsOf(state === "ENABLED" && again)} keyOf=${(delivery) => delivery.id} empty=${status === "ALL" ? "Nothing was delivered yet: send a test, or wait for an event." : "Nothing matches."} />
  </section>`;
}

function columnsOf(again) {
  return [
    { head: "When", cell: ({ createdAt }) => html`<${Moment} at=${createdAt} />` },
    { head: "Event", cell: ({ eventType }) => html`<code>${eventType}</code>` },
    { head: "State", cell: ({ status, attempts }) => html`<span class="state state-${TONES[status]}">${WORDS[status]}</span> <span class="soft">${counted(attempts, "attempt")}</span>` },
    { head: "Last answer", cell: (delivery) => html`<${Answer} ...${delivery} />` },
    { head: "Next attempt", cell: ({ nextAttemptAt }) => (nextAttemptAt ? html`<${Moment} at=${nextAttemptAt} />` : "–") },
    { head: "Id", cell: ({ id }) => html`<code>${id}</code>` },
    { head: "Actions", cell: (delivery) => again && html`<button aria-label="${delivery.status === "PENDING" ? "Try now" : "Deliver again"}: ${delivery.id}" onClick=${() => again(delivery)}>${delivery.status === "PENDING" ? "Try now" : "Deliver again"}</button>` },
  ];
}

/** All attempts are in the title, the last one in the cell. */
function Answer({ responseCode, durationMs, error, history }) {
  const line = (attempt) => [attempt.responseCode, attempt.error, attempt.durationMs && `${attempt.durationMs} ms`].filter(Boolean).join(" · ");
  return html`<span class="outside-line" title=${history.map((attempt) => `${attempt.at}  ${line(attempt)}`).join("\n")}>${line({ responseCode, durationMs, error }) || "none yet"}</span>`;
}
