import { amountFault, minorUnits, withCurrency } from "./money.js";

let opened = 0;

/**
 * What people can do. Each action is a description for the dialog: its words, its fields, what is wrong with what was
 * typed, the request it makes, and what to say when it is done.
 */
export class Actions {
  #dashboard;
  #open;

  constructor(dashboard, open) {
    this.#dashboard = dashboard;
    this.#open = (action) => open({ key: (opened += 1), dashboard, check: () => ({}), fields: [], ...action });
  }

  get #pool() {
    return this.#dashboard.state.pool;
  }

  deposit() {
    const { currency } = this.#pool;
    this.#open({
      title: "Deposit to the bounty pool",
      submit: "Deposit",
      fields: [
        { name: "amount", label: `Amount in ${currency}`, inputmode: "decimal", required: true, placeholder: "1000.00" },
        { name: "reference", label: "Reference", hint: "Optional. Shown in the ledger." },
      ],
      check: ({ amount }) => faults({ amount: amountFault(amount) }),
      path: `/protocols/${encodeURIComponent(this.#dashboard.room.protocolId)}/deposits`,
      done: ({ entry }) => `Deposited ${withCurrency(entry.amount, currency)}.`,
    });
  }

  confirm(finding) {
    const { available, currency } = this.#pool;
    const hint = `Optional. ${withCurrency(available, currency)} are available.`;
    this.#open({
      title: "Confirm this vulnerability?",
      about: finding,
      submit: "Confirm",
      fields: finding.bounty ? [] : [{ name: "bounty", label: `Bounty in ${currency}`, inputmode: "decimal", hint }],
      note: finding.bounty && `Its bounty of ${withCurrency(finding.bounty, currency)} stays reserved until the owner pays.`,
      check: ({ bounty }) => faults({ bounty: bounty && amountFault(bounty, available) }),
      path: `/vulnerabilities/${encodeURIComponent(finding.id)}/confirm`,
      done: () => `Confirmed: ${finding.title}.`,
    });
  }

  reject(finding) {
    const { currency } = this.#pool;
    this.#open({
      title: "Reject this vulnerability?",
      about: finding,
      submit: "Reject",
      isDangerous: true,
      fields: [{ name: "reason", label: "Reason", multiline: true, required: true, hint: "The finder sees this." }],
      note: finding.bounty && `${withCurrency(finding.bounty, currency)} go back to what is available. This cannot be undone.`,
      check: ({ reason }) => faults({ reason: !reason && "Say why." }),
      path: `/vulnerabilities/${encodeURIComponent(finding.id)}/reject`,
      done: () => `Rejected: ${finding.title}.`,
    });
  }

  pay(finding) {
    const { available, currency } = this.#pool;
    const most = finding.bounty ?? available;
    const hint = finding.bounty ? "A smaller amount gives the rest back to the pool." : `${withCurrency(available, currency)} are available.`;
    this.#open({
      title: "Release the payment?",
      about: finding,
      submit: "Pay",
      fields: [
        { name: "recipient", label: "Recipient", required: true, hint: "Account or address that receives the money.", maxlength: 128 },
        { name: "amount", label: `Amount in ${currency}`, inputmode: "decimal", required: true, value: finding.bounty ?? "", hint },
      ],
      note: "A payment cannot be taken back.",
      check: ({ recipient, amount }) => faults({ recipient: !recipient && "Say who is paid.", amount: amountFault(amount, most) }),
      body: ({ recipient, amount }) => (isSame(amount, finding.bounty) ? { recipient } : { recipient, amount }),
      path: `/vulnerabilities/${encodeURIComponent(finding.id)}/payment`,
      done: ({ amount }) => `The payment of ${withCurrency(amount, currency)} is on its way.`,
    });
  }

  retry(payment) {
    this.#open({
      title: "Try this payment again?",
      submit: "Try again",
      note: `${withCurrency(payment.amount, payment.currency)} to ${payment.recipient}. It failed: ${payment.failureReason}`,
      path: `/payments/${encodeURIComponent(payment.id)}/retry`,
      done: () => "The payment is being tried again.",
    });
  }
}

const isSame = (amount, bounty) => Boolean(bounty) && minorUnits(amount) === minorUnits(bounty);
const faults = (all) => Object.fromEntries(Object.entries(all).filter(([, fault]) => fault));
