import { minorUnits } from "./money.js";
import { Reading } from "./reading.js";
import { isNewer } from "./room/state.js";

const MOST = 5000;
const PAUSE_MS = 4000;
const GATHER_MS = 150;
const MOST_SINGLE_READS = 8;
const RANK = { CRITICAL: 0, HIGH: 1, MEDIUM: 2, LOW: 3, INFO: 4 };
const STATUS_RANK = { PENDING: 0, CONFIRMED: 1, PAID: 2, REJECTED: 3 };

/** All vulnerabilities of a protocol, at most `MOST` of them, kept up by events. */
export class Findings {
  byId = new Map();
  isLoaded = false;
  /** How many there are, as `/state` and the events tell it: exact, also where there are more than `MOST`. */
  counts = null;

  #api;
  #path;
  #list;
  #details;
  #loadedAt = 0;
  #timer = null;
  #wanted = new Set();

  /** @param {object} [pauses] see Reading */
  constructor(api, protocolId, onChange, pauses) {
    this.#api = api;
    this.#path = `/protocols/${encodeURIComponent(protocolId)}/vulnerabilities?sort=date`;
    this.#list = new Reading(() => this.#readList(), onChange, pauses);
    this.#details = new Reading(() => this.#readWanted(), onChange, pauses);
  }

  /** Why the list is not up to date, for people; null while it is. */
  get error() {
    return this.#list.error;
  }

  load() {
    return this.#list.now();
  }

  close() {
    clearTimeout(this.#timer);
    this.#list.close();
    this.#details.close();
  }

  /** Whether something was filed that is not held: its newest one alone says so, at the price of one row. */
  async hasNews() {
    const answer = await this.#api.get(`${this.#path}&limit=1`).catch(() => null);
    const newest = answer?.items[0];
    return Boolean(newest) && !this.byId.has(newest.id);
  }

  async #readList() {
    this.#loadedAt = Date.now();
    for await (const items of this.#api.pages(this.#path, MOST)) this.#take(items);
    this.isLoaded = true;
  }

  /** Answers may overtake each other and the events: keep what is newer than what is held. */
  #take(items) {
    for (const item of items) {
      const held = this.byId.get(item.id);
      if (isNewer(item.version, held?.version)) this.byId.set(item.id, item);
      else if (item.version === held.version) this.#complete(held, item);
    }
  }

  /** A version known from an event lacks what events do not carry; both are set once and then stay. */
  #complete(held, item) {
    const bounty = held.bounty ?? item.bounty;
    const paymentId = held.paymentId ?? item.paymentId;
    if (bounty !== held.bounty || paymentId !== held.paymentId) this.byId.set(held.id, { ...held, bounty, paymentId });
  }

  apply({ eventType, data }) {
    if (eventType === "vuln:status_changed") this.#applyStatus(data);
    else if (eventType === "bounty_pool:updated" && data.vulnerabilityId) this.#lookUp(data.vulnerabilityId);
  }

  #applyStatus({ vulnerabilityId, newStatus, version, changedAt, rejectionReason, paymentId }) {
    const held = this.byId.get(vulnerabilityId);
    if (!held) return this.#lookUp(vulnerabilityId);
    if (!isNewer(version, held.version)) return;
    const why = rejectionReason ?? held.rejectionReason;
    const change = { status: newStatus, version, updatedAt: changedAt, rejectionReason: why, paymentId: paymentId ?? held.paymentId };
    this.byId.set(vulnerabilityId, { ...held, ...change });
  }

  /** Events carry no title and no bounty: read those things, many at once by one list. */
  #lookUp(id) {
    this.#wanted.add(id);
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#details.now();
    }, GATHER_MS);
  }

  async #readWanted() {
    const ids = [...this.#wanted];
    if (ids.length > MOST_SINGLE_READS) {
      this.#wanted.clear();
      return void this.load();
    }
    await Promise.all(ids.map((id) => this.#readOne(id)));
  }

  /** What cannot be read just now stays wanted. */
  async #readOne(id) {
    this.#wanted.delete(id);
    try {
      this.#take([await this.#api.get(`/vulnerabilities/${encodeURIComponent(id)}`)]);
    } catch (problem) {
      if (problem.isPassing) this.#wanted.add(id);
      throw problem;
    }
  }

  /** Merge the snapshot's open ones; where the held ones differ from its counts something was missed: read all again. */
  reconcile({ open, counts }) {
    this.#take(open.values());
    if (!this.isLoaded || Date.now() - this.#loadedAt < PAUSE_MS || this.byId.size >= MOST) return;
    const mine = this.#held();
    const isExact = Object.entries(counts.byStatus ?? {}).every(([status, count]) => Number(count) === (mine[status] ?? 0));
    if (!isExact) this.load();
  }

  /** How many there are of each status. */
  tally() {
    const told = Object.entries(this.counts?.byStatus ?? {}).map(([status, count]) => [status, Number(count)]);
    return told.length ? Object.fromEntries(told) : this.#held();
  }

  get total() {
    return Object.values(this.tally()).reduce((sum, count) => sum + count, 0);
  }

  #held() {
    const tally = {};
    for (const { status } of this.byId.values()) tally[status] = (tally[status] ?? 0) + 1;
    return tally;
  }

  /** The rows to show. `sort.by` is one of `SORTS`. */
  rows({ status, severity, text, sort }) {
    const words = text.trim().toLowerCase();
    const rows = [...this.byId.values()].filter(
      (row) =>
        (status === "ALL" || row.status === status || (status === "OPEN" && STATUS_RANK[row.status] < 2)) &&
        (severity === "ALL" || row.severity === severity) &&
        (!words || `${row.title} ${row.agentId ?? ""} ${row.id}`.toLowerCase().includes(words)),
    );
    const compare = SORTS[sort.by];
    const direction = sort.descending ? -1 : 1;
    return rows.sort((a, b) => direction * compare(a, b) || newestFirst(a, b));
  }
}

const newestFirst = (a, b) => (a.createdAt < b.createdAt ? 1 : a.createdAt > b.createdAt ? -1 : 0);

function byAmount(a, b) {
  const [one, other] = [amountOf(a), amountOf(b)];
  return one < other ? -1 : one > other ? 1 : 0;
}

/** Each row is worked out once: thousands are compared whenever the table is drawn. */
const amounts = new WeakMap();

function amountOf(row) {
  if (!amounts.has(row)) amounts.set(row, minorUnits(row.bounty) ?? 0n);
  return amounts.get(row);
}

/** Ascending; severity ascends to the worst. */
const SORTS = {
  date: (a, b) => -newestFirst(a, b),
  severity: (a, b) => RANK[b.severity] - RANK[a.severity],
  status: (a, b) => STATUS_RANK[b.status] - STATUS_RANK[a.status],
  bounty: byAmount,
};
