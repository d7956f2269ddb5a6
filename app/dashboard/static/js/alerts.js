import { withCurrency } from "./money.js";

const SEEN_MS = 4000;
const MAX_UNSEEN = 99;

/** What a user must not miss: a new CRITICAL finding and a failed payment, each unseen until the page was looked at. */
export class Alerts {
  /** `{key, at, text, target}` by key, oldest first; `target`: the parameters of the address that show it. */
  unseen = new Map();

  #known = null;

  /** The alerts that are new since the last check; the first check has none. `titleOf(id)` is a finding's title. */
  check(state, titleOf, at = Date.now()) {
    const present = new Map([...criticalsOf(state), ...failuresOf(state, titleOf)].map((alert) => [alert.key, { ...alert, at }]));
    const fresh = this.#known === null ? [] : [...present.values()].filter(({ key }) => !this.#known.has(key));
    this.#known = new Set(present.keys());
    for (const alert of fresh) if (this.unseen.size < MAX_UNSEEN) this.unseen.set(alert.key, alert);
    return fresh;
  }

  /** Note that the user looks at the page. Returns whether the number of unseen alerts has changed. */
  look(now = Date.now()) {
    const before = this.unseen.size;
    for (const { key, at } of this.unseen.values()) if (now - at >= SEEN_MS) this.unseen.delete(key);
    return this.unseen.size !== before;
  }
}

function criticalsOf({ open }) {
  const critical = [...open.values()].filter(({ severity, status }) => severity === "CRITICAL" && status === "PENDING");
  return critical.map(({ id, title }) => ({ key: `critical ${id}`, text: `New critical finding: ${title}`, target: { finding: id } }));
}

function failuresOf({ payments }, titleOf) {
  const failed = [...payments.values()].filter(({ status }) => status === "FAILED");
  return failed.map(({ id, version, vulnerabilityId, amount, currency, failureReason }) => {
    const about = titleOf(vulnerabilityId) ?? "a finding";
    const text = `Payment failed: ${withCurrency(amount, currency)} for ${about}. ${failureReason ?? ""}`.trim();
    return { key: `failed ${id} ${version}`, text, target: { finding: vulnerabilityId } };
  });
}
