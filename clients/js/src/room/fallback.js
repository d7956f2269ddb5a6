import { Connection } from "./connection.js";
import { Schedule } from "./schedule.js";

/**
 * Socket.IO, or another transport while Socket.IO cannot connect although the server answers, as behind proxies that
 * block it. Socket.IO is tried again every `returnMs`, beside the other transport, which ends when it has joined.
 */
export class FallbackConnection {
  #options;
  #main;
  #current;
  #timers;
  #blocked = 0; // failed attempts in a row while the server answered
  #opening = 0; // numbers the calls of `open` and `close`, to ignore what is late

  /** @param {object} options those of Connection, and `fallback()`, `fallbackAfter`, `returnMs`, `fetch` */
  constructor(options, schedule) {
    this.#options = options;
    this.#timers = new Schedule(options);
    const callbacks = { onJoined: () => this.#onMainJoined(), onRefused: (refusal) => this.#onMainRefused(refusal) };
    this.#main = new Connection({ ...options, ...this.#ifCurrent(() => this.#main), ...callbacks }, schedule);
    this.#current = this.#main;
  }

  get transport() {
    return this.#current.transport;
  }

  get agentBatches() {
    return this.#current.agentBatches;
  }

  get heardAt() {
    return this.#current.heardAt;
  }

  get isSilent() {
    return this.#current.isSilent;
  }

  get protocolId() {
    return this.#main.protocolId;
  }

  get isOpen() {
    return this.#current.isOpen;
  }

  open() {
    this.close();
    this.#current = this.#main;
    this.#main.open();
  }

  close() {
    this.#opening += 1;
    this.#blocked = 0;
    this.#timers.cancelAll();
    this.#main.close();
    this.#current.close();
  }

  async join(protocolId) {
    const joined = this.#main.join(protocolId);
    await (this.#current === this.#main ? joined : this.#current.join(protocolId));
  }

  renew() {
    return this.#current.renew();
  }

  /** The callbacks that count only while this connection is the current one. */
  #ifCurrent(connection) {
    const names = ["onState", "onJoined", "onMessage", "onLost", "onRefused", "onSilent", "onHeard"];
    const guard = (name) => (value) => void (this.#current === connection() && this.#options[name](value));
    return Object.fromEntries(names.map((name) => [name, guard(name)]));
  }

  #onMainJoined() {
    this.#blocked = 0;
    this.#timers.cancelAll();
    if (this.#current !== this.#main) this.#current.close();
    this.#current = this.#main;
    this.#options.onJoined();
  }

  #onMainRefused(refusal) {
    if (this.#current !== this.#main) return this.#tryMainLater();
    this.#options.onRefused(refusal);
    if (refusal.code === "UNREACHABLE") this.#onUnreachable(this.#opening);
  }

  async #onUnreachable(opening) {
    const isLate = () => opening !== this.#opening || this.#current !== this.#main || this.#main.isOpen;
    const isUp = await this.#isServerUp();
    if (isLate()) return;
    this.#blocked = isUp ? this.#blocked + 1 : 0;
    if (this.#blocked < this.#options.fallbackAfter) return;
    const connect = await this.#options.fallback().catch(() => null); // loading its module may fail
    if (connect && !isLate()) this.#fallBack(connect);
  }

  #fallBack(connect) {
    const other = connect({ ...this.#options, ...this.#ifCurrent(() => other), protocolId: this.protocolId });
    this.#current = other;
    this.#tryMainLater();
    other.open();
  }

  #tryMainLater() {
    this.#main.close();
    const pause = this.#options.returnMs * (0.75 + Math.random() / 2);
    this.#timers.later("return", pause, () => this.#main.open());
  }

  /** Whether anything answers. The response to a page of another origin is opaque. */
  async #isServerUp() {
    const { fetch, baseUrl, timeoutMs } = this.#options;
    const options = { mode: "no-cors", cache: "no-store", signal: AbortSignal.timeout(timeoutMs) };
    const answer = await fetch(`${baseUrl}/healthz`, options).catch(() => null);
    return Boolean(answer?.ok || answer?.type === "opaque");
  }
}
