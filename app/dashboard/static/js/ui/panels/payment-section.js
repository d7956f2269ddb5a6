import { counted, withCurrency } from "../../money.js";
import { ago, fullTime } from "../../time.js";
import { CopyButton } from "../copyable.js";
import { STATUS_WORDS } from "../payments.js";
import { html } from "../preact.js";
import { Fact } from "./finding-facts.js";

/** A payment in full: where it goes, how often it was tried, why it failed, and what happens next. */
export function PaymentSection({ payment, finding, now, address }) {
  const { id, amount, currency, recipient, status, attempts, reference, createdAt, releasedAt } = payment;
  return html`<section aria-labelledby="panel-payment" class="panel-payment" data-status=${status}>
    <h3 id="panel-payment">Payment <span class="state state-${status}">${STATUS_WORDS[status] ?? status.toLowerCase()}</span></h3>
    <${Course} ...${{ payment, now }} />
    <dl class="facts">
      <${Fact} label="Amount">${withCurrency(amount, currency)}<//>
      <${Fact} label="Recipient"><code class="recipient">${recipient}</code> <${CopyButton} text=${recipient} label="the recipient" /><//>
      <${Fact} label="Attempts">${attempts}<//>
      ${reference && html`<${Fact} label="Reference"><code>${reference}</code> <${CopyButton} text=${reference} label="the reference" /><//>`}
      <${Fact} label="Requested"><time datetime=${createdAt}>${fullTime(createdAt)}</time> <span class="soft">${ago(createdAt, now)}</span><//>
      ${releasedAt && html`<${Fact} label="Paid"><time datetime=${releasedAt}>${fullTime(releasedAt)}</time> <span class="soft">${ago(releasedAt, now)}</span><//>`}
      <${Fact} label="Id"><code>${id}</code> <${CopyButton} text=${id} label="the payment's id" /><//>
    </dl>
    ${status === "CANCELLED" && html`<p><a href=${address.href({ finding: finding.id })}>The finding as it is now</a></p>`}
  </section>`;
}

/** Why it is where it is, and what happens next. */
function Course({ payment, now }) {
  const { status, failureReason, lastError, attempts, mayBePaid, nextAttemptAt } = payment;
  if (status === "FAILED") {
    const next = mayBePaid
      ? "Whether an earlier attempt paid is unknown, so it can only be tried again with the same recipient, which pays once at most."
      : "It is not tried again by itself: retry it, to another recipient if need be, or cancel it.";
    return html`<div class="callout"><strong>Refused after ${counted(attempts, "attempt")}</strong>
      <p class="outside-text" dir="auto">${failureReason ?? lastError ?? "No reason was given."}</p>
      <p class="soft">${next}</p>
    </div>`;
  }
  const isRepeated = ["PENDING", "PROCESSING"].includes(status) && lastError;
  if (!isRepeated) return null;
  const wait = nextAttemptAt ? Date.parse(nextAttemptAt) - now : 0;
  const when = wait > 0 ? `in about ${Math.ceil(wait / 1000)} s` : "soon";
  return html`<div class="callout is-held"><strong>Attempt ${attempts} did not pay</strong>
    <p class="outside-text" dir="auto">${lastError}</p>
    <p class="soft">It is tried again by itself, ${status === "PROCESSING" ? "just now" : when}.</p>
  </div>`;
}
