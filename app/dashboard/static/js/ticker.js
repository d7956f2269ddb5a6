const TICK_MS = 5000;

/** Calls `tick` every few seconds, and at once when the page becomes visible: browsers slow timers of hidden pages. */
export class Ticker {
  #interval;
  #onVisible;

  constructor(tick) {
    this.#onVisible = () => document.hidden || tick();
    this.#interval = setInterval(tick, TICK_MS);
    document.addEventListener("visibilitychange", this.#onVisible);
  }

  stop() {
    clearInterval(this.#interval);
    document.removeEventListener("visibilitychange", this.#onVisible);
  }
}
