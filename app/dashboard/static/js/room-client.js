/**
 * The reference client of a protocol's room: a live copy of `GET /protocols/{id}/state` that is never wrong for long.
 *
 * Free of dependencies and of the DOM; Socket.IO's `io` is handed in. Copy it together with the folder `room/`.
 *
 *   const room = new RoomClient({ io, protocolId: "P1", token: () => myToken });
 *   room.onChange = () => draw(room.status, room.state);
 *   room.start();
 *
 * How it keeps its promise, although no event is ever replayed:
 *  1. It joins first and fetches `/state` after; what arrives meanwhile is merged on top of what was fetched.
 *  2. It merges by `version`: what the snapshot contains already, or what comes twice, is old news.
 *  3. A jump in `seq`, or one that goes back, is a loss: it fetches `/state` anew, after a random pause, so that
 *     a thousand clients that lost the same event do not ask in the same moment.
 *  4. The last event before a silence has no successor to betray its loss, so every `refreshMs` it asks anyway.
 */
import { Connection } from "./room/connection.js";
import { Schedule } from "./room/schedule.js";
import { Sequence } from "./room/sequence.js";
import { DEFAULTS, Status } from "./room/settings.js";
import { Snapshots } from "./room/snapshots.js";
import { Applied, applyEvent, fromSnapshot, toSnapshot } from "./room/state.js";

export { Status };

export class RoomClient {
  status = Status.CONNECTING;
  /** Maps by id: `agents`, `open` (vulnerabilities), `payments`; and `protocol`, `pool`, `counts`, `seq`, `asOf`. */
  state = null;
  /** Milliseconds since 1970 from which on `state` may be old; null while it is live. */
  staleSince = null;
  /** `{code, detail}` of the last refusal, for people; null while all is well. */
  error = null;
  /** How many snapshots were fetched, and how many losses were noticed. */
  counters = { snapshots: 0, losses: 0 };

  /** Called after every change of `status` or `state`. */
  onChange = () => {};
  /** Called with every event of the room, once, after it was merged (or found to be old news). */
  onEvent = () => {};

  #options;
  #schedule;
  #connection;
  #snapshots;
  #sequence = new Sequence();
  #untold = []; // events that came before there was a state

  /**
   * @param {object} options `io`; `protocolId`; `token`: a string, or a function that returns one or a promise of one
   *   (asked before each connection and request; it must not throw); `fetch`, and what of `DEFAULTS` does not fit.
   */
  constructor(options) {
    const token = async () => (typeof options.token === "function" ? options.token() : options.token);
    const all = { fetch: (...args) => globalThis.fetch(...args), ...DEFAULTS, ...options, token };
    this.#options = all;
    this.#schedule = new Schedule(all);
    this.#connection = new Connection(
      {
        ...all,
        onJoined: () => this.#onJoined(),
        onMessage: (event) => this.#onMessage(event),
        onLost: () => this.#onLost(),
        onRefused: (refusal) => this.#onRefused(refusal),
      },
      this.#schedule,
    );
    const query = all.agentBatches ? "?agentBatches=true" : "";
    const path = () => `/api/v1/protocols/${encodeURIComponent(this.protocolId)}/state${query}`;
    const handlers = { path, onBody: (body) => this.#adopt(body), onFailed: (error) => this.#onFetchFailed(error) };
    this.#snapshots = new Snapshots({ ...all, ...handlers }, this.#schedule);
  }

  get protocolId() {
    return this.#connection.protocolId;
  }

  /** What is held, in the form of `/state`. */
  snapshot() {
    return this.state && toSnapshot(this.state);
  }

  start() {
    this.#connection.open();
  }

  stop() {
    this.#snapshots.cancel();
    this.#schedule.cancelAll();
    this.#connection.close();
  }

  /** Switch to another protocol's room: out of the old one, and nothing of it is shown any longer. */
  async join(protocolId) {
    this.#snapshots.cancel();
    this.#schedule.cancelAll();
    this.#sequence.restart();
    this.#untold = [];
    Object.assign(this, { state: null, staleSince: null, error: null });
    const joined = this.#connection.join(protocolId);
    this.#set(Status.CONNECTING);
    await joined;
  }

  /** Fetch `/state` now, e.g. after an own request whose effect no event tells of. */
  refresh() {
    if (this.status === Status.LIVE) this.#snapshots.now();
  }

  /** Tell the server the token that `token` returns now; to be called when that is a new one. */
  renew() {
    return this.#connection.renew();
  }

  #onJoined() {
    this.#sequence.restart();
    this.#schedule.succeeded();
    const isReturn = this.state !== null;
    this.#set(isReturn ? Status.RESYNCING : Status.CONNECTING);
    this.#snapshots.later(isReturn ? this.#schedule.jitter() : 0);
  }

  #onMessage(event) {
    const isLoss = this.#sequence.arrive(event.seq);
    this.#snapshots.note(event);
    if (!this.state) return void (this.#untold = [...this.#untold.slice(-99), event]);
    this.#merge(event);
    this.onEvent(event, this);
    if (isLoss) this.#onLoss();
    this.onChange(this);
  }

  /** What is told of a thing not held, and is not in the snapshot either, only a new snapshot can show. */
  #merge(event) {
    const isCovered = BigInt(event.seq) <= BigInt(this.state.seq);
    if (applyEvent(this.state, event) === Applied.UNKNOWN && !isCovered) this.#snapshots.soon();
  }

  #onLoss() {
    this.counters.losses += 1;
    this.staleSince ??= Date.now();
    this.status = Status.RESYNCING;
    this.#snapshots.soon();
  }

  #adopt(body) {
    this.state = fromSnapshot(body);
    this.counters.snapshots += 1;
    this.#schedule.succeeded();
    Object.assign(this, { staleSince: null, error: null, status: Status.LIVE });
    this.#snapshots.later(this.#options.refreshMs * (0.75 + Math.random() / 2));
    const { since } = this.#snapshots;
    since.forEach((event) => this.#merge(event));
    if (this.#sequence.cover(body.seq, since.map((event) => event.seq))) this.#onLoss();
    this.#untold.splice(0).forEach((event) => this.onEvent(event, this));
    this.onChange(this);
  }

  #onFetchFailed(error) {
    if (error.status === 401) return this.#end(Status.SIGNED_OUT, error);
    if (!error.isPassing) return this.#end(Status.ERROR, error);
    this.error = error;
    this.staleSince ??= Date.now();
    if (this.#connection.isOpen) this.#set(this.state ? Status.RESYNCING : Status.CONNECTING);
    this.#snapshots.later(Math.max(error.retryAfterMs, this.#schedule.backoff()));
  }

  #onLost() {
    this.#snapshots.cancel();
    if (this.status === Status.SIGNED_OUT) return;
    this.staleSince ??= this.#connection.heardAt ?? Date.now();
    this.#set(Status.RECONNECTING);
  }

  #onRefused(refusal) {
    if (refusal.code === "UNAUTHORIZED") return this.#end(Status.SIGNED_OUT, refusal);
    if (refusal.code === "INVALID_PROTOCOL") return this.#end(Status.ERROR, refusal);
    this.error = refusal;
    this.#set(this.state ? Status.RECONNECTING : Status.CONNECTING);
  }

  /** Nothing is tried again until the user signs in or chooses another protocol. */
  #end(status, { code, detail }) {
    this.#schedule.cancelAll();
    this.error = { code, detail };
    if (status === Status.SIGNED_OUT) this.#connection.close();
    this.#set(status);
  }

  #set(status) {
    this.status = status;
    this.onChange(this);
  }
}
