import { amountFault, withCurrency } from "../money.js";
import { DECIDED, faults, isSameAmount } from "./checks.js";

export function pay({ currency, available, availableHint }, finding) {
  const max = () => finding.bounty ?? available();
  const hint = finding.bounty ? "A smaller amount gives the rest back to the pool." : () => availableHint();
  return {
    title: "Release the payment?",
    about: finding,
    submit: "Pay",
    fields: [
      { name: "recipient", label: "Recipient", required: true, hint: "Account or address that receives the money.", maxlength: 128 },
      { name: "amount", label: `Amount in ${currency}`, inputmode: "decimal", required: true, value: finding.bounty ?? "", hint },
    ],
    note: "A payment cannot be taken back.",
    check: ({ recipient, amount }) => faults({ recipient: !recipient && "Say who is paid.", amount: amountFault(amount, max()) }),
    body: ({ recipient, amount }) => (isSameAmount(amount, finding.bounty) ? { recipient } : { recipient, amount }),
    path: `/vulnerabilities/${encodeURIComponent(finding.id)}/payment`,
    done: ({ amount }) => `The payment of ${withCurrency(amount, currency)} is on its way.`,
    overtaken: { ...DECIDED, ALREADY_EXISTS: "Somebody released this payment already." },
  };
}

export function retry(_, payment) {
  return {
    title: "Try this payment again?",
    submit: "Try again",
    note: `${withCurrency(payment.amount, payment.currency)} to ${payment.recipient}. It failed: ${payment.failureReason}`,
    path: `/payments/${encodeURIComponent(payment.id)}/retry`,
    done: () => "The payment is being tried again.",
    overtaken: RETRIED,
  };
}

const TRIED = "Somebody has retried it already.";
const RETRIED = { PENDING: TRIED, PROCESSING: TRIED, RELEASED: "It is paid already." };
