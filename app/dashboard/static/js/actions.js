import { amountFault, minorUnits, withCurrency } from "./money.js";

let opened = 0;

/**
 * The user's actions. Each opens the dialog with a description: texts, fields, input checks, the request, the message on
 * success, and the messages if another user has acted first (`overtaken`).
 * Hints and checks are functions, evaluated whenever the dialog is drawn, since the pool changes while it is open.
 */
export class Actions {
  #dashboard;
  #open;

  constructor(dashboard, open) {
    this.#dashboard = dashboard;
    const defaults = { dashboard, check: () => ({}), fields: [], overtaken: {} };
    this.#open = (action) => open({ key: (opened += 1), ...defaults, ...action });
  }

  get #currency() {
    return this.#dashboard.state.pool.currency;
  }

  /** The available amount; null while it may be out of date, in which case only the server checks it. */
  get #available() {
    const { state, isStale } = this.#dashboard;
    return isStale ? null : (state?.pool?.available ?? null);
  }

  #availableHint(before = "") {
    const available = this.#available;
    return available === null ? before : `${before}${withCurrency(available, this.#currency)} are available.`;
  }

  deposit() {
    const currency = this.#currency;
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
    const currency = this.#currency;
    const hint = () => this.#availableHint("Optional. ");
    this.#open({
      title: "Confirm this vulnerability?",
      about: finding,
      submit: "Confirm",
      fields: finding.bounty ? [] : [{ name: "bounty", label: `Bounty in ${currency}`, inputmode: "decimal", hint }],
      note: finding.bounty && `Its bounty of ${withCurrency(finding.bounty, currency)} stays reserved until the owner pays.`,
      check: ({ bounty }) => faults({ bounty: bounty && amountFault(bounty, this.#available) }),
      path: `/vulnerabilities/${encodeURIComponent(finding.id)}/confirm`,
      done: () => `Confirmed: ${finding.title}.`,
      overtaken: DECIDED,
    });
  }

  reject(finding) {
    const currency = this.#currency;
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
      overtaken: DECIDED,
    });
  }

  pay(finding) {
    const currency = this.#currency;
    const max = () => finding.bounty ?? this.#available;
    const hint = finding.bounty ? "A smaller amount gives the rest back to the pool." : () => this.#availableHint();
    this.#open({
      title: "Release the payment?",
      about: finding,
      submit: "Pay",
      fields: [
        { name: "recipient", label: "Recipient", required: true, hint: "Account or address that receives the money.", maxlength: 128 },
        { name: "amount", label: `Amount in ${currency}`, inputmode: "decimal", required: true, value: finding.bounty ?? "", hint },
      ],
      note: "A payment cannot be taken back.",
      check: ({ recipient, amount }) => faults({ recipient: !recipient && "Say who is paid.", amount: amountFault(amount, max()) }),
      body: ({ recipient, amount }) => (isSame(amount, finding.bounty) ? { recipient } : { recipient, amount }),
      path: `/vulnerabilities/${encodeURIComponent(finding.id)}/payment`,
      done: ({ amount }) => `The payment of ${withCurrency(amount, currency)} is on its way.`,
      overtaken: { ...DECIDED, ALREADY_EXISTS: "Somebody released this payment already." },
    });
  }

  retry(payment) {
    this.#open({
      title: "Try this payment again?",
      submit: "Try again",
      note: `${withCurrency(payment.amount, payment.currency)} to ${payment.recipient}. It failed: ${payment.failureReason}`,
      path: `/payments/${encodeURIComponent(payment.id)}/retry`,
      done: () => "The payment is being tried again.",
      overtaken: RETRIED,
    });
  }
}

/** Messages by the current status or the error code of a refused action that needs no repetition. */
const DECIDED = {
  CONFIRMED: "Somebody confirmed it already.",
  REJECTED: "Somebody rejected it already.",
  PAID: "It is paid already.",
};
const TRIED = "Somebody has retried it already.";
const RETRIED = { PENDING: TRIED, PROCESSING: TRIED, RELEASED: "It is paid already." };

const isSame = (amount, bounty) => Boolean(bounty) && minorUnits(amount) === minorUnits(bounty);
const faults = (all) => Object.fromEntries(Object.entries(all).filter(([, fault]) => fault));
