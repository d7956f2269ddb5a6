import { ApiError, getJson } from "../request.js";

/** Fetches `/state`, one request at a time, and keeps the events that arrive meanwhile, to be merged into it. */
export class Snapshots {
  /** The events that arrived since the last fetch began. */
  since = [];

  #options;
  #schedule;
  #running = null;
  #endedAt = 0;

  /**
   * @param {object} options `fetch`, `baseUrl`, `timeoutMs`, `restMs`, `token` (an async function), `path()`, and the
   *   callbacks `onBody(body)` and `onFailed(apiError)`
   * @param {import("./schedule.js").Schedule} schedule
   */
  constructor(options, schedule) {
    this.#options = options;
    this.#schedule = schedule;
  }

  /** Fetch after a random pause, so that many clients do not ask at once, and no sooner than `restMs` after the last. */
  soon() {
    const rest = this.#endedAt + this.#options.restMs - Date.now();
    this.later(this.#schedule.jitter() + Math.max(0, rest));
  }

  later(milliseconds) {
    // A running fetch decides when it ends whether another one is needed.
    this.#schedule.later("fetch", milliseconds, () => this.#running ?? this.now());
  }

  async now() {
    this.cancel();
    const { fetch, baseUrl, path, timeoutMs, token, onBody, onFailed } = this.#options;
    const running = (this.#running = new AbortController());
    this.since = [];
    this.#schedule.later("timeout", timeoutMs, () => running.abort());
    let outcome;
    try {
      const body = await getJson(fetch, baseUrl + path(), await token(), running.signal);
      outcome = () => onBody(body);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      outcome = () => onFailed(error);
    }
    if (running !== this.#running) return; // replaced by another fetch, or cancelled
    this.#end();
    outcome();
  }

  note(event) {
    if (this.#running) this.since.push(event);
  }

  cancel() {
    this.#schedule.cancel("fetch");
    this.#running?.abort();
    this.since = [];
    this.#end();
  }

  #end() {
    this.#running = null;
    this.#endedAt = Date.now();
    this.#schedule.cancel("timeout");
  }
}
