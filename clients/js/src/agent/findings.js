import { ApiError } from "../request.js";
import { newKey } from "../token.js";
import { Lane } from "./lane.js";

/** Files an agent's findings one after the other, each under one Idempotency-Key. */
export class Findings {
  #waiting = [];
  #lane;
  #options;

  /** @param {object} options those of Lane, `maxFindings`, and `send(protocolId, makeBody, key)` */
  constructor(options) {
    this.#options = options;
    this.#lane = new Lane(() => this.#next(), options);
  }

  get undelivered() {
    return this.#waiting.map(({ finding }) => `finding: ${finding.title}`);
  }

  /** A promise of the filed vulnerability. Its rejection need not be handled. */
  file(protocolId, finding) {
    const filed = new Promise((resolve, reject) => {
      const item = { protocolId, finding, key: newKey(), resolve, reject };
      const fault = this.#faultOf(finding);
      if (fault) return this.#drop(item, fault);
      this.#waiting.push(item);
    });
    filed.catch(() => {});
    this.#lane.wake();
    return filed;
  }

  hurry() {
    this.#lane.hurry();
  }

  stop() {
    this.#lane.stop();
    this.#waiting.splice(0).forEach((item) => this.#drop(item, "the agent was closed before it was filed"));
  }

  #faultOf(finding) {
    if (typeof finding.bounty === "number") return "the bounty is a number, which is not exact: pass a string";
    try {
      JSON.stringify(finding);
    } catch (error) {
      return error.message;
    }
    return this.#waiting.length < this.#options.maxFindings ? null : `${this.#options.maxFindings} findings are waiting`;
  }

  #drop({ protocolId, finding, reject }, reason) {
    this.#options.counters.dropped += 1;
    this.#options.log("finding dropped", { protocolId, title: finding.title, reason });
    reject(new ApiError(`Not filed: ${reason}.`, { code: "NOT_ACCEPTED" }));
  }

  #next() {
    const [item] = this.#waiting;
    if (!item) return null;
    const { protocolId, finding, key } = item;
    let filed;
    const attempt = async () => (filed = await this.#options.send(protocolId, () => finding, key));
    const settle = (error) => this.#settle(item, filed, error);
    return { due: 0, isKept: true, context: { protocolId, title: finding.title }, attempt, settle };
  }

  #settle(item, filed, error) {
    this.#waiting = this.#waiting.filter((each) => each !== item);
    if (!error) return item.resolve(filed);
    this.#options.counters.refused += 1;
    this.#options.log("finding refused", { protocolId: item.protocolId, title: item.finding.title, reason: error.message, code: error.code });
    item.reject(error);
  }
}
