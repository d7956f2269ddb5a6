import { RetryingRead } from "./retrying-read.js";

const MAX_ENTRIES = 1000;

/** The pool over time, from the ledger: points `{at, available, reserved, paid, version}` in order of version. */
export class Ledger extends RetryingRead {
  points = [];
  entries = [];

  #api;
  #path;
  /** No version up to this one is missing. The newest point may be higher, since an event may arrive before others. */
  #completeTo = null;

  /** @param {object} [pauses] see RetryingRead */
  constructor(api, protocolId, onChange, pauses) {
    super(() => this.#read(), onChange, pauses);
    this.#api = api;
    this.#path = `/protocols/${encodeURIComponent(protocolId)}/pool/entries`;
  }

  apply({ eventType, data, timestamp }) {
    if (eventType === "bounty_pool:updated") this.#merge([pointOf(data, timestamp)]);
  }

  /** Reload if the snapshot includes changes that are missing here. */
  reconcile({ pool }) {
    if (pool && BigInt(pool.version ?? 0) > (this.#completeTo ?? 0n)) this.load();
  }

  async #read() {
    const entries = [];
    for await (const items of this.#api.pages(this.#path, MAX_ENTRIES)) entries.push(...items);
    this.entries = entries;
    this.#completeTo = BigInt(entries[0]?.version ?? 0);
    this.#merge(entries.map((entry) => pointOf(entry, entry.createdAt)));
  }

  #merge(added) {
    const byVersion = new Map(this.points.map((point) => [point.version, point]));
    for (const point of added) if (!byVersion.has(point.version)) byVersion.set(point.version, point);
    while (this.#completeTo !== null && byVersion.has(this.#completeTo + 1n)) this.#completeTo += 1n;
    if (byVersion.size === this.points.length) return;
    this.points = [...byVersion.values()].sort((a, b) => (a.version < b.version ? -1 : 1)).slice(-MAX_ENTRIES);
  }
}

function pointOf(change, at) {
  const { available, reserved, paid } = change;
  return { at: Date.parse(at), available, reserved, paid, version: BigInt(change.version) };
}
