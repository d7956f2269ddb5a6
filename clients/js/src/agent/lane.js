import { ApiError } from "../request.js";
import { Schedule } from "../room/schedule.js";

const CLOSING_PAUSE_MS = 500;

/**
 * Sends jobs one after the other. After a transient failure the whole lane waits, so that their order is kept.
 *
 * A job has `due` (its time), `isKept` (whether it is worth waiting for), `context` (for the log), `attempt()`, which
 * rejects with an error, and `settle(error)`: it was accepted (null) or refused for good.
 */
export class Lane {
  #next;
  #options;
  #schedule;
  #timer = null;
  #isBusy = false;
  #isClosing = false;
  #isStopped = false;
  #pausedUntil = 0;

  /**
   * @param {() => object | null} next the job to do next
   * @param {object} options `retryMs`, `retryCapMs`, `isTokenRenewable`, `counters`, `log(event, details)`
   */
  constructor(next, options) {
    this.#next = next;
    this.#options = options;
    this.#schedule = new Schedule(options);
  }

  /** Look for the next job; to be called whenever there is a new one. */
  wake() {
    if (this.#isBusy || this.#isStopped) return;
    clearTimeout(this.#timer);
    const job = this.#next();
    if (!job) return;
    const pause = Math.max(job.due, this.#pausedUntil) - Date.now();
    if (pause <= 0) return void this.#run(job);
    this.#timer = setTimeout(() => this.wake(), pause);
    if (!job.isKept) this.#timer.unref?.(); // a process need not stay for it
  }

  /** Try again now, and with short pauses from now on. */
  hurry() {
    this.#isClosing = true;
    this.#pausedUntil = 0;
    this.wake();
  }

  stop() {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  async #run(job) {
    const { counters } = this.#options;
    this.#isBusy = true;
    const error = await job.attempt().then(() => null, asApiError);
    this.#isBusy = false;
    if (error && this.#isTransient(error)) this.#pause(job, error);
    else {
      this.#schedule.succeeded();
      if (!error) counters.sent += 1;
      job.settle(error);
    }
    this.wake();
  }

  /** A refused token may be replaced by the function that returns it. */
  #isTransient(error) {
    return error.isPassing || (error.status === 401 && this.#options.isTokenRenewable);
  }

  #pause(job, error) {
    const { counters, log } = this.#options;
    const own = this.#schedule.backoff();
    const pause = Math.max(error.retryAfterMs, this.#isClosing ? Math.min(own, CLOSING_PAUSE_MS) : own);
    counters.retries += 1;
    this.#pausedUntil = Date.now() + pause;
    if (!this.#isStopped) log("retrying", { ...job.context, reason: error.message, code: error.code, pauseMs: Math.round(pause) });
  }
}

const asApiError = (error) => (error instanceof ApiError ? error : new ApiError(error?.message ?? String(error)));
