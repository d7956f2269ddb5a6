import { amountFault, grouped, withCurrency } from "../money.js";
import { recipientWarning } from "../recipients.js";
import { DECIDED, faults } from "./checks.js";

export function pay({ currency, available, availableHint }, finding) {
  const max = () => finding.bounty ?? available();
  const hint = finding.bounty ? "A smaller amount gives the rest back to the pool." : () => availableHint();
  return {
    title: "Release the payment?",
    about: finding,
    submit: "Pay",
    fields: [
      recipientField(currency, { hint: "Account or address that receives the money." }),
      { name: "amount", label: `Amount in ${currency}`, inputmode: "decimal", required: true, value: finding.bounty ? grouped(finding.bounty) : "", hint },
    ],
    note: "A payment cannot be taken back.",
    check: ({ recipient, amount }) => faults({ recipient: recipientFault(recipient), amount: amountFault(amount, max()) }),
    review: ({ recipient, amount }) => ({ text: `You pay ${withCurrency(amount, currency)} to`, recipient }),
    path: `/vulnerabilities/${encodeURIComponent(finding.id)}/payment`,
    done: ({ amount }) => `The payment of ${withCurrency(amount, currency)} is on its way.`,
    overtaken: { ...DECIDED, ALREADY_EXISTS: "Somebody released this payment already." },
  };
}

export function retry({ dashboard }, payment) {
  const { id, amount, currency, recipient: former, mayBePaid } = payment;
  const hint = mayBePaid
    ? "It cannot be changed: whether an earlier attempt paid is unknown, and the same recipient is paid once at most."
    : "Change it if it was refused.";
  return {
    title: "Try this payment again?",
    about: findingOf(dashboard, payment),
    submit: "Pay",
    fields: [recipientField(currency, { value: former ?? "", hint, readonly: mayBePaid })],
    note: whyFailed(payment),
    check: ({ recipient }) => faults({ recipient: recipientFault(recipient) }),
    review: ({ recipient }) => ({ text: `You pay ${withCurrency(amount, currency)} to`, recipient }),
    body: ({ recipient }) => (recipient === former ? {} : { recipient }),
    path: `/payments/${encodeURIComponent(id)}/retry`,
    done: () => "The payment is being tried again.",
    overtaken: SETTLED,
  };
}

export function cancelPayment({ dashboard }, payment) {
  const { id, amount, currency } = payment;
  return {
    title: "Cancel this payment?",
    about: findingOf(dashboard, payment),
    submit: "Cancel the payment",
    dismiss: "Keep it",
    isDangerous: true,
    note: `${withCurrency(amount, currency)} go back to what is available. The finding stays confirmed, and can be paid anew.`,
    path: `/payments/${encodeURIComponent(id)}/cancel`,
    done: () => `Cancelled: ${withCurrency(amount, currency)} are available again.`,
    overtaken: SETTLED,
  };
}

const RETRIED = "Somebody has retried it already.";
const SETTLED = { PENDING: RETRIED, PROCESSING: RETRIED, RELEASED: "It is paid already.", CANCELLED: "Somebody has cancelled it already." };

const MAX_RECIPIENT = 128;
const recipientField = (currency, more) => ({
  name: "recipient", label: "Recipient", required: true, isCode: true, maxlength: MAX_RECIPIENT,
  warn: (recipient) => recipientWarning(currency, recipient), ...more,
});
const recipientFault = (recipient) => !recipient && "Say who is paid.";
const findingOf = (dashboard, { vulnerabilityId: id }) => dashboard.findings.byId.get(id) ?? dashboard.state.open.get(id);

function whyFailed({ amount, currency, attempts, failureReason }) {
  const times = attempts === undefined ? "" : ` after ${attempts} ${attempts === "1" ? "attempt" : "attempts"}`;
  return `${withCurrency(amount, currency)}. It failed${times}: ${failureReason ?? "no reason was given."}`;
}
