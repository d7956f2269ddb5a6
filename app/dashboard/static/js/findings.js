import { isNewer } from "./room/state.js";

const MOST = 5000;
const PAUSE_MS = 4000;
const RANK = { CRITICAL: 0, HIGH: 1, MEDIUM: 2, LOW: 3, INFO: 4 };
const STATUS_RANK = { PENDING: 0, CONFIRMED: 1, PAID: 2, REJECTED: 3 };

/** All vulnerabilities of a protocol, kept up by events; its tallies must equal the counts in `/state`. */
export class Findings {
  byId = new Map();
  isLoaded = false;
  error = null;

  #api;
  #protocolId;
  #onChange;
  #loadedAt = 0;
  #timer = null;
  #wanted = new Set();

  constructor(api, protocolId, onChange) {
    this.#api = api;
    this.#protocolId = protocolId;
    this.#onChange = onChange;
  }

  async load() {
    this.#loadedAt = Date.now();
    try {
      const path = `/protocols/${encodeURIComponent(this.#protocolId)}/vulnerabilities?sort=date`;
      for await (const items of this.#api.pages(path, MOST)) this.#take(items);
      Object.assign(this, { isLoaded: true, error: null });
    } catch (error) {
      this.error = error;
    }
    this.#onChange();
  }

  close() {
    clearTimeout(this.#timer);
  }

  /** Keep what is newer than what is held. */
  #take(items) {
    for (const item of items) {
      if (isNewer(item.version, this.byId.get(item.id)?.version)) this.byId.set(item.id, item);
    }
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
    this.#timer ??= setTimeout(() => this.#readWanted(), 150);
  }

  async #readWanted() {
    this.#timer = null;
    const ids = [...this.#wanted];
    this.#wanted.clear();
    if (ids.length > 8) return this.load();
    const read = (id) => this.#api.get(`/vulnerabilities/${encodeURIComponent(id)}`).catch(() => null);
    const found = (await Promise.all(ids.map(read))).filter(Boolean);
    found.forEach((each) => this.byId.set(each.id, each));
    this.#onChange();
  }

  /** Merge the snapshot's open ones; where tallies differ from its counts something was missed: read all again. */
  reconcile({ open, counts }) {
    this.#take(open.values());
    if (!this.isLoaded || Date.now() - this.#loadedAt < PAUSE_MS || this.byId.size >= MOST) return;
    const mine = this.tally();
    const isExact = Object.entries(counts.byStatus ?? {}).every(([status, count]) => Number(count) === (mine[status] ?? 0));
    if (!isExact) this.load();
  }

  tally() {
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
const byAmount = (a, b) => Number(a.bounty ?? 0) - Number(b.bounty ?? 0); // an order, not a sum: floats will do

/** Ascending; severity ascends to the worst. */
const SORTS = {
  date: (a, b) => -newestFirst(a, b),
  severity: (a, b) => RANK[b.severity] - RANK[a.severity],
  status: (a, b) => STATUS_RANK[b.status] - STATUS_RANK[a.status],
  bounty: byAmount,
};
