import { RetryingRead } from "./retrying-read.js";

const MAX_HELD = 300;
const MAX_AT_ONCE = 6;
const COLLECT_MS = 50;

/**
 * Payments that `/state` does not list, read by their ids when they are shown: those of confirmed findings whose payment
 * is older than the latest ones. At most `MAX_HELD`; the ones that were asked for last stay.
 */
export class OtherPayments extends RetryingRead {
  #byId = new Map();
  #wanted = new Set();
  #api;
  #timer = null;

  /** @param {object} [pauses] see RetryingRead */
  constructor(api, onChange, pauses) {
    super(() => this.#read(), onChange, pauses);
    this.#api = api;
  }

  /** The payment; undefined until it is read, null if it cannot be read. */
  get(id) {
    const held = this.#byId.get(id);
    if (held === undefined) this.#want(id);
    else this.#hold(id, held);
    return held;
  }

  /** An event about a payment that is held here: read it again. */
  apply({ data }) {
    if (this.#byId.has(data.paymentId)) this.#want(data.paymentId);
  }

  close() {
    clearTimeout(this.#timer);
    super.close();
  }

  #want(id) {
    if (this.#wanted.size >= MAX_HELD) return;
    this.#wanted.add(id);
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.load();
    }, COLLECT_MS);
  }

  /** Ids whose read fails temporarily stay in `#wanted`. */
  async #read() {
    while (this.#wanted.size) await Promise.all([...this.#wanted].slice(0, MAX_AT_ONCE).map((id) => this.#readOne(id)));
  }

  async #readOne(id) {
    this.#wanted.delete(id);
    try {
      this.#hold(id, await this.#api.get(`/payments/${encodeURIComponent(id)}`));
    } catch (problem) {
      if (problem.isPassing) this.#wanted.add(id);
      else this.#hold(id, null);
      if (problem.isPassing !== false) throw problem;
    }
  }

  #hold(id, payment) {
    this.#byId.delete(id);
    this.#byId.set(id, payment);
    if (this.#byId.size > MAX_HELD) this.#byId.delete(this.#byId.keys().next().value);
  }
}
