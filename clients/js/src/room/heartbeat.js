/**
 * Notices that the server has fallen silent although the connection is open: Engine.IO itself would need 45 seconds. When
 * nothing was heard for `silenceMs`, it asks for a sign of life; without one within `answerMs` the server does not answer.
 */
export class Heartbeat {
  /** The time of the last sign of the server, in milliseconds since 1970. */
  heardAt = null;
  isSilent = false;

  #options;
  #timer = null;

  /** @param {{silenceMs: number, answerMs: number, ask: () => void, onSilent: () => void, onHeard: () => void}} options */
  constructor(options) {
    this.#options = options;
  }

  /** Begin with a new connection; no `silenceMs` switches the watch off. */
  start() {
    this.stop();
    this.heardAt = Date.now();
    this.#watch();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.isSilent = false;
  }

  /** Note a sign of the server. */
  hear() {
    this.heardAt = Date.now();
    if (!this.isSilent) return;
    this.start();
    this.#options.onHeard();
  }

  #watch() {
    const { silenceMs, answerMs, ask } = this.#options;
    if (!silenceMs) return;
    const left = this.heardAt + silenceMs - Date.now();
    if (left > 0) return void (this.#timer = setTimeout(() => this.#watch(), left));
    const askedAt = Date.now();
    ask();
    this.#timer = setTimeout(() => this.#judge(askedAt), answerMs);
  }

  #judge(askedAt) {
    if (this.heardAt >= askedAt) return this.#watch();
    this.#timer = null;
    this.isSilent = true;
    this.#options.onSilent();
  }
}
