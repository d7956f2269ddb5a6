import { Schedule } from "../vendor/client/room/schedule.js";

const PAUSES = { jitterMs: 400, retryMs: 1000, retryCapMs: 20_000 };

/**
 * A read that is repeated, with growing random pauses, until it succeeds; never twice at the same time. After a failure the
 * page's data is late, but not wrong permanently. Final errors (403, 404) are not retried. The page's lists and objects
 * extend it with what they read.
 */
export class RetryingRead {
  /** `{message, status, isPassing}` of the last attempt, as text for users; null after a success. */
  error = null;
  /** The time of the next attempt, in milliseconds since 1970; null if there is none. */
  retryAt = null;

  #read;
  #onChange;
  #schedule;
  #isRunning = false;
  #isWanted = false;
  #isClosed = false;

  /**
   * @param {() => Promise<void>} read throws a Problem (see api.js)
   * @param {() => void} onChange called after each attempt, until `close()`
   */
  constructor(read, onChange, pauses = PAUSES) {
    this.#read = read;
    this.#onChange = onChange;
    this.#schedule = new Schedule(pauses);
  }

  /** Read now. During a read, read once more after it, since the running one may have been sent too early. */
  load() {
    return this.#attempt();
  }

  close() {
    this.#isClosed = true;
    this.#schedule.cancelAll();
  }

  /** Not `load()`, which may be another one in what extends this. */
  async #attempt() {
    if (this.#isClosed) return;
    if (this.#isRunning) return void (this.#isWanted = true);
    this.#schedule.cancel("retry");
    this.#isRunning = true;
    this.#isWanted = false;
    const problem = await this.#read().then(() => null, (error) => error);
    this.#isRunning = false;
    if (this.#isClosed) return;
    if (problem) this.#fail(problem);
    else this.#succeed();
    this.#onChange();
  }

  #succeed() {
    this.#schedule.succeeded();
    Object.assign(this, { error: null, retryAt: null });
    if (this.#isWanted) this.#attempt();
  }

  #fail({ message, status, isPassing, retryAfterMs }) {
    if (isPassing === undefined) throw new Error(message); // not a Problem but a bug: surface it
    const pause = Math.max(retryAfterMs, this.#schedule.backoff());
    this.error = { message: isPassing ? `${message} Trying again.` : message, status, isPassing };
    this.retryAt = isPassing ? Date.now() + pause : null;
    if (isPassing) this.#schedule.later("retry", pause, () => this.#attempt());
  }
}
