// Each tick of a visible page costs the server one indexed row (1.3 ms): 1,000 pages use a quarter of one process.
// Fetching `/state` as often would cost several times that.
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
