import { isDay } from "./period.js";

// Browsers refuse more than 100 changes of the address in 30 s: after some at once, the others are collected.
const MAX_AT_ONCE = 40;
const WINDOW_MS = 30_000;
const COLLECT_MS = 1000;
const MAX_LENGTH = 200;

const ofList = (...values) => ({ initial: values[0], allows: (text) => values.includes(text) });
const ofText = { initial: "", allows: (text) => text.length <= MAX_LENGTH };
const ofDay = { initial: "", allows: (text) => text === "" || isDay(text) };
const place = { ...ofText, isPlace: true };

/**
 * The parameters of the page's address. A change of a place is an entry of the history, so that Back works; a change of
 * any other parameter (filter, order, search) replaces the current entry.
 */
const PARAMETERS = {
  protocol: place,
  view: place,
  finding: place,
  payment: place,
  webhook: place,
  agent: place,
  reserved: { ...ofList("", "true"), isPlace: true },
  status: ofList("ALL", "OPEN", "PENDING", "CONFIRMED", "FAILED", "PAID", "REJECTED"),
  severity: ofList("ALL", "CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"),
  q: ofText,
  sort: ofList("-date", ...["date", "severity", "bounty", "status"].flatMap((by) => [by, `-${by}`])),
  agents: ofList("all", "working", "failed", "idle", "offline"),
  section: { ...ofList("tokens", "protocols", "agents", "audit"), isPlace: true },
  action: ofText,
  who: ofText,
  about: ofText,
  events: ofList("key", "all", "money", "findings", "agents"),
  list: ofList("payments", "ledger"),
  paymentStatus: ofList("ALL", "FAILED", "PENDING", "PROCESSING", "RELEASED", "CANCELLED"),
  changeType: ofList("ALL", "DEPOSIT", "RESERVATION", "RESERVATION_RELEASED", "PAYMENT_RELEASED"),
  deliveries: ofList("ALL", "PENDING", "SUCCEEDED", "FAILED"),
  from: ofDay,
  to: ofDay,
  range: ofList("all", "day", "week", "month"),
};

/** The parameters whose panel is open; a change of protocol or view closes it. */
export const PANEL_PARAMETERS = ["finding", "payment", "agent", "reserved"];
const NO_PANEL = Object.fromEntries(PANEL_PARAMETERS.map((name) => [name, ""]));

/** The state of the page that its address holds: survives a reload, and can be shared as a link. */
export class Address {
  /** All parameters with their values; those that the address lacks, or whose value is unknown, have the initial one. */
  values;

  #window;
  #onChange;
  #timer = null;
  #written = [];

  /** @param {() => void} onChange called after each change, also by Back and Forward */
  constructor(onChange, browser = window) {
    this.#window = browser;
    this.#onChange = onChange;
    this.values = read(browser.location.search);
    browser.addEventListener("popstate", () => this.#onPopState());
    browser.addEventListener("pagehide", () => this.#flush());
  }

  /** Change parameters. `isCorrection`: replace the current entry although a place changes. */
  go(changes, { isCorrection = false } = {}) {
    const next = completed(this.values, changes);
    const changed = Object.keys(next).filter((name) => next[name] !== this.values[name]);
    if (changed.length === 0) return;
    const isEntry = !isCorrection && changed.some((name) => PARAMETERS[name].isPlace);
    if (isEntry) this.#flush();
    this.values = next;
    if (isEntry) this.#window.history.pushState(null, "", this.href());
    else this.#write(isCorrection);
    this.#onChange();
  }

  /** The address with these changes, for links. */
  href(changes = {}) {
    const query = new URLSearchParams(this.#window.location.search);
    for (const [name, value] of Object.entries(completed(this.values, changes))) {
      if (value === PARAMETERS[name].initial) query.delete(name);
      else query.set(name, value);
    }
    return `${this.#window.location.pathname}?${query}`;
  }

  /** Follow a link within the page without loading it again. Returns whether `url` is one. */
  follow(url) {
    const { origin, pathname, search } = new URL(url, this.#window.location.href);
    if (origin !== this.#window.location.origin || pathname !== this.#window.location.pathname) return false;
    this.go(read(search));
    return true;
  }

  #onPopState() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.values = read(this.#window.location.search);
    this.#onChange();
  }

  /** At once where possible: what waits is lost when the page is reloaded. */
  #write(isUrgent) {
    const now = Date.now();
    this.#written = this.#written.filter((at) => now - at < WINDOW_MS);
    const isFew = this.#written.length < MAX_AT_ONCE;
    if (isFew) this.#written.push(now);
    this.#timer ??= setTimeout(() => this.#flush(), COLLECT_MS);
    if (isFew || isUrgent) this.#flush();
  }

  #flush() {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#window.history.replaceState(null, "", this.href());
  }
}

function read(search) {
  const query = new URLSearchParams(search);
  const valueOf = ([name, { initial, allows }]) => [name, allows(query.get(name) ?? initial) ? (query.get(name) ?? initial) : initial];
  return Object.freeze(Object.fromEntries(Object.entries(PARAMETERS).map(valueOf)));
}

/** The values after these changes: at most one panel is open, and none of another protocol or view. */
function completed(values, changes) {
  const isElsewhere = ["protocol", "view"].some((name) => name in changes && changes[name] !== values[name]);
  const isPanel = PANEL_PARAMETERS.some((name) => changes[name]);
  return Object.freeze({ ...values, ...((isElsewhere || isPanel) && NO_PANEL), ...changes });
}
