// Each beat of a visible page costs the server one row of an index (1.3 ms): 1,000 pages a quarter of one process. To
// fetch `/state` as often would cost several times that.
const BEAT_MS = 5000;

/** Beats every few seconds, and at once when the page comes into sight again: until then its timers may have been slowed. */
export class Pulse {
  #ticker;
  #onVisible;

  constructor(beat) {
    this.#onVisible = () => document.hidden || beat();
    this.#ticker = setInterval(beat, BEAT_MS);
    document.addEventListener("visibilitychange", this.#onVisible);
  }

  stop() {
    clearInterval(this.#ticker);
    document.removeEventListener("visibilitychange", this.#onVisible);
  }
}
