import { LiveList } from "./live-list.js";
import { isWithin, periodQuery } from "./period.js";
import { isNewer } from "../vendor/client/room/state.js";

const FINAL = new Set(["RELEASED", "CANCELLED"]);
const COLLECT_MS = 400;

const listPath = (protocolId, name, query) => `/protocols/${encodeURIComponent(protocolId)}/${name}?${new URLSearchParams(query)}`;

/** The payments with a status ("ALL" for any) in a period: failed ones first, then the newest first. */
export class PaymentRecords {
  #lists;

  /** @param {{status: string, from: string, to: string}} filter */
  constructor(api, protocolId, filter, onChange, pauses) {
    const make = (status) => {
      const keeps = (payment) => (status === "ALL" || payment.status === status) && isWithin(filter, payment.createdAt);
      const itemPath = (id) => `/payments/${encodeURIComponent(id)}`;
      const options = { keeps, itemPath, isBefore: (a, b) => a.id > b.id, pauses };
      return new LiveList(api, paymentsPath(protocolId, { ...filter, status }), onChange, options);
    };
    this.#lists = (filter.status === "ALL" ? ["FAILED", "ALL"] : [filter.status]).map(make);
  }

  get items() {
    const [first, rest] = this.#lists;
    return rest ? [...first.items, ...rest.items.filter(({ status }) => status !== "FAILED")] : first.items;
  }

  get(id) {
    return newest(this.#lists.map((list) => list.get(id)).filter(Boolean));
  }

  get isLoaded() {
    return this.#lists.every((list) => list.isLoaded);
  }

  get isCut() {
    return this.#lists.some((list) => list.isCut);
  }

  get error() {
    return this.#lists.find((list) => list.error)?.error ?? null;
  }

  load() {
    this.#lists.forEach((list) => list.refresh());
  }

  more() {
    this.#lists.forEach((list) => list.more());
  }

  close() {
    this.#lists.forEach((list) => list.close());
  }

  apply({ eventType, data, timestamp }) {
    if (eventType !== "payment:status_changed") return;
    const told = { id: data.paymentId, status: data.newStatus, createdAt: timestamp };
    for (const list of this.#lists) if (list.get(told.id) || list.covers(told)) list.lookUp([told.id]);
  }

  /** After a snapshot: read what it shows in a newer version, and what it does not show but may have changed. */
  reconcile({ payments }) {
    for (const list of this.#lists.filter(({ isLoaded }) => isLoaded)) {
      const told = [...payments.values()].filter((payment) => {
        const held = list.get(payment.id);
        return held ? isNewer(payment.version, held.version) : list.covers(payment);
      });
      const untold = list.items.filter(({ id, status }) => !FINAL.has(status) && !payments.has(id));
      list.lookUp([...told, ...untold].map(({ id }) => id));
    }
  }
}

/** The entries of the ledger of one kind ("ALL" for any) in a period, newest first. Entries never change. */
export class LedgerRecords {
  #list;
  #kind;
  #timer = null;
  #version = null;

  /** @param {{changeType: string, from: string, to: string}} filter */
  constructor(api, protocolId, filter, onChange, pauses) {
    const isBefore = (a, b) => BigInt(a.version) > BigInt(b.version);
    this.#kind = filter.changeType;
    this.#list = new LiveList(api, entriesPath(protocolId, filter), onChange, { isBefore, pauses });
  }

  get items() {
    return this.#list.items;
  }

  get(id) {
    return this.#list.get(id);
  }

  get isLoaded() {
    return this.#list.isLoaded;
  }

  get isCut() {
    return this.#list.isCut;
  }

  get error() {
    return this.#list.error;
  }

  load() {
    this.#list.refresh();
  }

  more() {
    this.#list.more();
  }

  close() {
    clearTimeout(this.#timer);
    this.#list.close();
  }

  apply({ eventType, data }) {
    if (eventType !== "bounty_pool:updated") return;
    if (this.#kind === "ALL" || this.#kind === data.changeType) this.#loadSoon();
  }

  reconcile({ pool }) {
    if (this.#version !== null && isNewer(pool.version, this.#version)) this.#loadSoon();
    this.#version = pool.version;
  }

  #loadSoon() {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.load();
    }, COLLECT_MS);
  }
}

export function paymentsPath(protocolId, { status, ...period }) {
  return listPath(protocolId, "payments", { ...(status !== "ALL" && { status }), ...periodQuery(period) });
}

export function entriesPath(protocolId, { changeType, ...period }) {
  return listPath(protocolId, "pool/entries", { ...(changeType !== "ALL" && { changeType }), ...periodQuery(period) });
}

const newest = (versions) => versions.reduce((best, each) => (best && isNewer(best.version, each.version) ? best : each), undefined);
