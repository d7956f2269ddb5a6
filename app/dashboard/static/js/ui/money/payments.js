import { counted, withCurrency } from "../../money.js";
import { Moment } from "../moment.js";
import { STATUS_WORDS } from "../payments.js";
import { html, memo } from "../preact.js";
import { NoPayment, NoRows } from "./empty.js";
import { RecordTable, longestOf } from "./table.js";

const HEADS = [["date", "Requested"], ["subject", "Finding"], ["amount", "Amount"], ["status", "Status"], ["actions", "Actions"], ["details", "Recipient and attempts"]];
const SIZES = [9, null, "amount", 7.5, 10.5];
const HEIGHTS = { row: 3.7, card: 9.4 };

export function PaymentTable({ records, question, isFiltered, dashboard, state, actions, address }) {
  const { items } = records;
  if (items.length === 0) return html`<${NoRows} ...${{ records, isFiltered, noun: "payment" }}><${NoPayment} ...${{ dashboard, state, actions, address }} /><//>`;
  const contentOf = (payment) => ({
    payment, actions,
    title: dashboard.findingTitle(payment.vulnerabilityId) ?? payment.vulnerabilityId,
    href: address.href({ finding: payment.vulnerabilityId }),
    panel: address.href({ payment: payment.id }),
    canPay: dashboard.session.may("owner"),
  });
  const longest = longestOf(items, state.pool?.currency);
  return html`<${RecordTable} label="Payments" heads=${HEADS} sizes=${SIZES} heights=${HEIGHTS} Row=${Row} ...${{ records, question, longest, contentOf }} />`;
}

const Row = memo(({ payment, index, title, href, panel, canPay, actions }) => {
  const { id, status, amount, currency, createdAt } = payment;
  const about = (verb) => `${verb}: ${title}`;
  const isRetryable = canPay && status === "FAILED";
  return html`<div role="row" class="record payment-${status}" aria-rowindex=${index} data-payment=${id}>
    <span role="cell" class="cell-date"><${Moment} at=${createdAt} /></span>
    <span role="cell" class="cell-subject"><a class="clip" href=${href} dir="auto">${title}</a></span>
    <span role="cell" class="cell-amount">${withCurrency(amount, currency)}</span>
    <span role="cell" class="cell-status"><a class="state state-${status}" href=${panel} aria-label="${STATUS_WORDS[status] ?? status}: show the payment">${STATUS_WORDS[status] ?? status}</a></span>
    <span role="cell" class="cell-actions">
      ${isRetryable && html`<button aria-label=${about("Retry payment")} onClick=${() => actions.retry(payment)}>Retry</button>`}
      ${isRetryable && !payment.mayBePaid && html`<button aria-label=${about("Cancel payment")} onClick=${() => actions.cancelPayment(payment)}>Cancel</button>`}
    </span>
    <${Details} payment=${payment} />
  </div>`;
});

/** Why it failed comes first, since the line may be cut. */
function Details({ payment }) {
  const { recipient, reference, attempts, failureReason, lastError, status } = payment;
  const reason = failureReason ?? (status === "RELEASED" ? null : lastError);
  const fault = reason && `${counted(attempts, "attempt")}: ${reason}`;
  const facts = [`to ${recipient}`, reference && `reference ${reference}`, !fault && counted(attempts, "attempt")].filter(Boolean).join(" · ");
  return html`<span role="cell" class="cell-details" title=${[fault, facts].filter(Boolean).join("\n")}>
    ${fault && html`<span class="fault">${fault}</span>`} <span dir="auto">${facts}</span>
  </span>`;
}
