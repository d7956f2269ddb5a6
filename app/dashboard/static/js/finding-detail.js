import { RetryingRead } from "./retrying-read.js";
import { isNewer } from "../vendor/client/room/state.js";

export const MAX_HISTORY = 400;

/** One finding in full: itself with its description, a payment, and its history. Read again whenever it changed. */
export class FindingDetail extends RetryingRead {
  finding = null;
  /** The payment that is shown; null if there is none. */
  payment = null;
  /** What was done to it, oldest first. */
  history = [];

  #api;
  #id;
  #paymentId;

  /**
   * @param {object} of `id` of the finding, or `paymentId` of the payment to show, by which the finding is found; without
   *   `paymentId`, the finding's own payment is shown
   * @param {object} [pauses] see RetryingRead
   */
  constructor(api, { id = null, paymentId = null }, onChange, pauses) {
    super(() => this.#read(), onChange, pauses);
    this.#api = api;
    this.#id = id;
    this.#paymentId = paymentId;
  }

  async #read() {
    const asked = this.#paymentId && (await this.#get("/payments", this.#paymentId));
    const id = this.#id ?? asked.vulnerabilityId;
    const finding = await this.#get("/vulnerabilities", id); // first, since a wrong id is asked for once
    const own = !asked && finding.paymentId ? this.#get("/payments", finding.paymentId) : null;
    const [history, payment] = await Promise.all([this.#history(id), asked || own]);
    Object.assign(this, { finding, history, payment });
  }

  #get(path, id) {
    return this.#api.get(`${path}/${encodeURIComponent(id)}`);
  }

  async #history(id) {
    const items = [];
    for await (const page of this.#api.pages(`/vulnerabilities/${encodeURIComponent(id)}/history`, MAX_HISTORY)) items.push(...page);
    return items;
  }
}

/** The newer one of what was read and what events told; the members that events lack are those that were read. */
export function newest(read, held) {
  if (!read || !held) return read ?? held ?? null;
  if (!isNewer(held.version, read.version)) return read;
  const lacking = Object.fromEntries(NOT_TOLD.filter((name) => name in read).map((name) => [name, held[name] ?? read[name]]));
  return { ...read, ...held, ...lacking };
}

const NOT_TOLD = ["description", "recipient"];
