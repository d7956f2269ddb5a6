import { withCurrency } from "../money.js";
import { ago, fullTime } from "../time.js";
import { Empty, Panel, html } from "./preact.js";
import { useSteadyOrder } from "./steady.js";

/** The statuses of a payment, in words. */
export const STATUS_WORDS = { PENDING: "waiting", PROCESSING: "on its way", RELEASED: "paid", FAILED: "failed", CANCELLED: "cancelled" };

export function Payments({ payments, ...shared }) {
  return html`<${Panel} id="payments" title="Payments" aside=${html`<span class="hint">what failed, then the latest</span>`}>
    ${payments.length === 0
      ? html`<${Empty} title="Nothing was paid yet">A confirmed vulnerability can be paid by the owner.<//>`
      : html`<${List} ...${{ payments, ...shared }} />`}
  <//>`;
}

function List({ payments: all, ...shared }) {
  const payments = [...all.filter(hasFailed), ...all.filter((each) => !hasFailed(each))];
  const { rows, place, news } = useSteadyOrder(payments, { idOf: ({ id }) => id, question: "", isHeldOnTouch: true });
  return html`<div class="payments-list" ref=${place}>
    ${news}
    <ul class="payments" tabindex="0" aria-label="Latest payments">
      ${rows.map((payment) => html`<${Payment} key=${payment.id} ...${{ payment, ...shared }} />`)}
    </ul>
  </div>`;
}

function Payment({ payment, dashboard, actions, address }) {
  const { session, now } = dashboard;
  const { id, amount, currency, recipient, status, failureReason, lastError, attempts, createdAt, releasedAt, vulnerabilityId } = payment;
  const why = status === "FAILED" ? failureReason : status === "RELEASED" ? null : lastError && `Being tried again: ${lastError}`;
  const at = releasedAt ?? createdAt;
  const title = dashboard.findingTitle(vulnerabilityId) ?? "a finding";
  return html`<li class="payment payment-${status}" data-payment=${id}>
    <div class="payment-line">
      <strong>${withCurrency(amount, currency)}</strong>
      <span class="state state-${status}">${STATUS_WORDS[status] ?? status}</span>
    </div>
    <div class="payment-line soft">
      <a class="clip" dir="auto" href=${address.href({ payment: id })} title="${recipient ?? ""}: ${title}">${recipient && `to ${shortened(recipient)} · `}${title}</a>
      <time datetime=${at} title=${fullTime(at)}>${ago(at, now)}</time>
    </div>
    ${why && html`<p class="${status === "FAILED" ? "fault" : "soft"} clamped" dir="auto" title=${why}>${why}</p>`}
    ${status === "FAILED" && Number(attempts) > 1 && html`<p class="hint">after ${attempts} attempts</p>`}
    ${status === "FAILED" && session.may("owner") && html`<button onClick=${() => actions.retry(payment)}>Try again</button>`}
  </li>`;
}

const hasFailed = ({ status }) => status === "FAILED";

/** Both ends of an address, which people compare. */
const shortened = (text) => (text.length > 18 ? `${text.slice(0, 8)}…${text.slice(-6)}` : text);
