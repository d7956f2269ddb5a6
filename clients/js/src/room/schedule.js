/** One timer per purpose, and random pauses that grow with each failure, so that many clients do not act at once. */
export class Schedule {
  #timers = new Map();
  #failures = 0;
  #options;

  /** @param {{jitterMs: number, retryMs: number, retryCapMs: number}} options */
  constructor(options) {
    this.#options = options;
  }

  /** Run `action` after this many milliseconds; of two timers for one purpose the earlier one is kept. */
  later(purpose, milliseconds, action) {
    const due = Date.now() + milliseconds;
    const known = this.#timers.get(purpose);
    if (known && known.due <= due) return;
    clearTimeout(known?.timer);
    const run = () => {
      this.#timers.delete(purpose);
      action();
    };
    this.#timers.set(purpose, { due, timer: setTimeout(run, milliseconds) });
  }

  cancel(purpose) {
    clearTimeout(this.#timers.get(purpose)?.timer);
    this.#timers.delete(purpose);
  }

  cancelAll() {
    [...this.#timers.keys()].forEach((purpose) => this.cancel(purpose));
  }

  jitter() {
    return Math.random() * this.#options.jitterMs;
  }

  backoff() {
    const { retryMs, retryCapMs } = this.#options;
    return Math.min(retryCapMs, retryMs * 2 ** this.#failures++) * (0.5 + Math.random() / 2);
  }

  succeeded() {
    this.#failures = 0;
  }
}
