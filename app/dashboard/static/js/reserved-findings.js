import { fromMinorUnits, minorUnits } from "./money.js";
import { RetryingRead } from "./retrying-read.js";

const MAX_FINDINGS = 5000;
const COLLECT_MS = 400;

/** The findings with a reservation, largest first. Their `sum` is the pool's reserved amount once the list is current. */
export class ReservedFindings extends RetryingRead {
  items = [];
  isRead = false;

  #api;
  #path;
  #timer = null;

  /** @param {object} [pauses] see RetryingRead */
  constructor(api, protocolId, onChange, pauses) {
    super(() => this.#read(), onChange, pauses);
    this.#api = api;
    this.#path = `/protocols/${encodeURIComponent(protocolId)}/vulnerabilities?reserved=true`;
  }

  /** Whether there may be more than are held. */
  get isCut() {
    return this.items.length >= MAX_FINDINGS;
  }

  get sum() {
    return fromMinorUnits(this.items.reduce((sum, { reserved }) => sum + minorUnits(reserved), 0n));
  }

  /** Read again if the pool's reserved amount is another one, after those changes that come together. */
  reconcile(reserved) {
    if (this.isRead && this.sum !== reserved) this.#timer ??= setTimeout(() => this.#loadAgain(), COLLECT_MS);
  }

  close() {
    clearTimeout(this.#timer);
    super.close();
  }

  #loadAgain() {
    this.#timer = null;
    this.load();
  }

  async #read() {
    const byId = new Map();
    for await (const items of this.#api.pages(this.#path, MAX_FINDINGS)) items.forEach((each) => byId.set(each.id, each));
    this.items = [...byId.values()].sort((a, b) => (minorUnits(a.reserved) < minorUnits(b.reserved) ? 1 : -1));
    this.isRead = true;
  }
}
