const MOST = 1000;

/** The pool over time, from the ledger: points `{at, available, reserved, paid, version}` in order of version. */
export class Ledger {
  points = [];
  entries = [];
  error = null;

  #api;
  #protocolId;
  #onChange;
  #isLoading = false;

  constructor(api, protocolId, onChange) {
    this.#api = api;
    this.#protocolId = protocolId;
    this.#onChange = onChange;
  }

  async load() {
    if (this.#isLoading) return;
    this.#isLoading = true;
    try {
      const entries = [];
      const path = `/protocols/${encodeURIComponent(this.#protocolId)}/pool/entries`;
      for await (const items of this.#api.pages(path, MOST)) entries.push(...items);
      this.entries = entries;
      this.#merge(entries.map((entry) => pointOf(entry, entry.createdAt)));
      this.error = null;
    } catch (error) {
      this.error = error;
    }
    this.#isLoading = false;
    this.#onChange();
  }

  apply({ eventType, data, timestamp }) {
    if (eventType === "bounty_pool:updated") this.#merge([pointOf(data, timestamp)]);
  }

  /** The snapshot knows of a newer pool than the picture does. */
  reconcile({ pool }) {
    const newest = this.points.at(-1)?.version ?? 0n;
    if (pool && BigInt(pool.version ?? 0) > newest) this.load();
  }

  #merge(added) {
    const byVersion = new Map(this.points.map((point) => [point.version, point]));
    for (const point of added) if (!byVersion.has(point.version)) byVersion.set(point.version, point);
    if (byVersion.size === this.points.length) return;
    this.points = [...byVersion.values()].sort((a, b) => (a.version < b.version ? -1 : 1)).slice(-MOST);
  }
}

function pointOf(change, at) {
  const { available, reserved, paid } = change;
  return { at: Date.parse(at), available, reserved, paid, version: BigInt(change.version) };
}
