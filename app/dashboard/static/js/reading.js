import { Schedule } from "./room/schedule.js";

const PAUSES = { jitterMs: 400, retryMs: 1000, retryCapMs: 20_000 };

/**
 * A read that is repeated until it succeeds, after random pauses that grow, and never twice at once: what the page shows
 * of it is late after a failure, but not wrong for ever. What the same question cannot change (403, 404) is not repeated.
 */
export class Reading {
  /** `{message, status, isPassing}` of the last try, in words for people; null once one succeeded. */
  error = null;
  /** When it is tried again, in milliseconds since 1970; null when it is not. */
  retryAt = null;

  #read;
  #onChange;
  #schedule;
  #isRunning = false;
  #isWanted = false;
  #isClosed = false;

  /**
   * @param {() => Promise<void>} read throws a Problem (see api.js)
   * @param {() => void} onChange called after each try, until `close()`
   */
  constructor(read, onChange, pauses = PAUSES) {
    this.#read = read;
    this.#onChange = onChange;
    this.#schedule = new Schedule(pauses);
  }

  /** Read now; while a read runs, once more after it: that one may have asked too early. */
  async now() {
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

  close() {
    this.#isClosed = true;
    this.#schedule.cancelAll();
  }

  #succeed() {
    this.#schedule.succeeded();
    Object.assign(this, { error: null, retryAt: null });
    if (this.#isWanted) this.now();
  }

  #fail({ message, status, isPassing, retryAfterMs }) {
    if (isPassing === undefined) throw new Error(message); // no refusal, but a fault of ours: let it be seen
    const pause = Math.max(retryAfterMs, this.#schedule.backoff());
    this.error = { message: isPassing ? `${message} Trying again.` : message, status, isPassing };
    this.retryAt = isPassing ? Date.now() + pause : null;
    if (isPassing) this.#schedule.later("retry", pause, () => this.now());
  }
}
