import { minorUnits } from "./money.js";
import { RetryingRead } from "./retrying-read.js";
import { filedBy, isNewer, paymentIdAfter } from "../vendor/client/room/state.js";

const MAX_HELD = 5000;
const PAUSE_MS = 4000;
const COLLECT_MS = 150;
const MAX_SINGLE_READS = 8;
const RANK = { CRITICAL: 0, HIGH: 1, MEDIUM: 2, LOW: 3, INFO: 4 };
const STATUS_RANK = { PENDING: 0, CONFIRMED: 1, PAID: 2, REJECTED: 3 };

/** All vulnerabilities of a protocol, at most `MAX_HELD`, kept up to date by events. */
export class Findings {
  byId = new Map();
  isLoaded = false;
  /** The number of times the list was read. */
  reads = 0;
  /** Counts from `/state` and the events: exact, even if there are more than `MAX_HELD`. */
  counts = null;

  #api;
  #path;
  #list;
  #details;
  #loadedAt = 0;
  #timer = null;
  #wanted = new Set();

  /** @param {object} [pauses] see RetryingRead */
  constructor(api, protocolId, onChange, pauses) {
    this.#api = api;
    this.#path = `/protocols/${encodeURIComponent(protocolId)}/vulnerabilities?sort=date`;
    this.#list = new RetryingRead(() => this.#readList(), onChange, pauses);
    this.#details = new RetryingRead(() => this.#readWanted(), onChange, pauses);
  }

  /** Why the list is out of date, as text for users; null while it is current. */
  get error() {
    return this.#list.error;
  }

  load() {
    return this.#list.load();
  }

  close() {
    clearTimeout(this.#timer);
    this.#list.close();
    this.#details.close();
  }

  async #readList() {
    this.#loadedAt = Date.now();
    for await (const items of this.#api.pages(this.#path, MAX_HELD)) this.#take(items);
    this.isLoaded = true;
    this.reads += 1;
  }

  /** Hold findings that the list may lack, since it ends at `MAX_HELD`. */
  add(items) {
    this.#take(items);
  }

  /** Responses may overtake each other and the events, so an item replaces only an older version. */
  #take(items) {
    for (const item of items) {
      const held = this.byId.get(item.id);
      if (isNewer(item.version, held?.version)) this.byId.set(item.id, item);
      else if (item.version === held.version) this.#complete(held, item);
    }
  }

  /** A version that came with an event lacks the bounty and the payment id, which never change once set. */
  #complete(held, item) {
    const bounty = held.bounty ?? item.bounty;
    const paymentId = held.paymentId ?? item.paymentId;
    if (bounty !== held.bounty || paymentId !== held.paymentId) this.byId.set(held.id, { ...held, bounty, paymentId });
  }

  apply({ eventType, data }) {
    if (eventType === "vuln:discovered") this.#applyDiscovery(data);
    else if (eventType === "vuln:status_changed") this.#applyStatus(data);
    else if (eventType === "payment:status_changed") this.#applyPayment(data);
    else if (eventType === "bounty_pool:updated" && data.vulnerabilityId) this.#applyPool(data);
  }

  #applyDiscovery(data) {
    if (!this.byId.has(data.vulnerabilityId)) this.byId.set(data.vulnerabilityId, filedBy(data));
  }

  #applyPool({ vulnerabilityId, changeType, amount }) {
    const held = this.byId.get(vulnerabilityId);
    if (changeType !== "RESERVATION" || held?.status !== "PENDING") return this.#lookUp(vulnerabilityId);
    if (held.bounty !== amount) this.byId.set(vulnerabilityId, { ...held, bounty: amount });
  }

  /** A request and a cancellation change the vulnerability, too, without an event of its own. */
  #applyPayment(data) {
    const held = this.byId.get(data.vulnerabilityId);
    if (held) this.byId.set(held.id, { ...held, paymentId: paymentIdAfter(data, held.paymentId) });
    if (data.oldStatus === null || data.newStatus === "CANCELLED") this.#lookUp(data.vulnerabilityId);
  }

  #applyStatus({ vulnerabilityId, newStatus, version, changedAt, rejectionReason, paymentId }) {
    const held = this.byId.get(vulnerabilityId);
    if (!held) return this.#lookUp(vulnerabilityId);
    if (!isNewer(version, held.version)) return;
    const why = rejectionReason ?? held.rejectionReason;
    const change = { status: newStatus, version, updatedAt: changedAt, rejectionReason: why, paymentId: paymentId ?? held.paymentId };
    this.byId.set(vulnerabilityId, { ...held, ...change });
  }

  /** Most events carry no title and no bounty: read the vulnerability, or the whole list if there are many. */
  #lookUp(id) {
    this.#wanted.add(id);
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#details.load();
    }, COLLECT_MS);
  }

  async #readWanted() {
    const ids = [...this.#wanted];
    if (ids.length > MAX_SINGLE_READS) {
      this.#wanted.clear();
      return void this.load();
    }
    await Promise.all(ids.map((id) => this.#readOne(id)));
  }

  /** An id whose read fails temporarily stays in `#wanted`. */
  async #readOne(id) {
    this.#wanted.delete(id);
    try {
      this.#take([await this.#api.get(`/vulnerabilities/${encodeURIComponent(id)}`)]);
    } catch (problem) {
      if (problem.isPassing) this.#wanted.add(id);
      throw problem;
    }
  }

  /** Merge the snapshot's open vulnerabilities, and reload the list if the held ones do not match its counts. */
  reconcile({ open, counts }) {
    this.#take(open.values());
    if (!this.isLoaded || Date.now() - this.#loadedAt < PAUSE_MS || this.byId.size >= MAX_HELD) return;
    const mine = this.#held();
    const isExact = Object.entries(counts.byStatus ?? {}).every(([status, count]) => Number(count) === (mine[status] ?? 0));
    if (!isExact) this.load();
  }

  /** The number of vulnerabilities per status. */
  tally() {
    const known = Object.entries(this.counts?.byStatus ?? {}).map(([status, count]) => [status, Number(count)]);
    return known.length ? Object.fromEntries(known) : this.#held();
  }

  get total() {
    return Object.values(this.tally()).reduce((sum, count) => sum + count, 0);
  }

  #held() {
    const tally = {};
    for (const { status } of this.byId.values()) tally[status] = (tally[status] ?? 0) + 1;
    return tally;
  }

  /** The rows to show. `sort.by` is one of `SORTS`; `hasFailed(row)` tells whether its payment failed. */
  rows({ status, severity, text, sort, hasFailed = () => false }) {
    const words = text.trim().toLowerCase();
    const rows = [...this.byId.values()].filter(
      (row) =>
        (status === "ALL" || row.status === status || (status === "OPEN" && STATUS_RANK[row.status] < 2) || (status === "FAILED" && hasFailed(row))) &&
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

/** Parsed once per row, since thousands are compared whenever the table is drawn. */
const amounts = new WeakMap();

function amountOf(row) {
  if (!amounts.has(row)) amounts.set(row, minorUnits(row.bounty) ?? 0n);
  return amounts.get(row);
}

/** Ascending orders; the most severe comes last. */
const SORTS = {
  date: (a, b) => -newestFirst(a, b),
  severity: (a, b) => RANK[b.severity] - RANK[a.severity],
  status: (a, b) => STATUS_RANK[b.status] - STATUS_RANK[a.status],
  bounty: byAmount,
};
