/**
 * The client of a protocol's room: a live copy of `GET /protocols/{id}/state`.
 *
 * It has no dependencies and uses no DOM; Socket.IO's `io` is a parameter.
 *
 *   const room = new RoomClient({ io, protocolId: "P1", token: () => myToken });
 *   room.onChange = () => draw(room.status, room.state);
 *   room.start();
 *
 * How it stays consistent although no event is replayed:
 *  1. It joins first, then fetches `/state`; events that arrive meanwhile are merged into the fetched state.
 *  2. It merges by `version`: an event that the snapshot already contains, or that arrives twice, changes nothing.
 *  3. A `seq` that jumps or goes back is a loss: it fetches `/state` again, after a random pause, so that a thousand
 *     clients that lost the same event do not ask at the same moment.
 *  4. If the last event before a pause is lost, no later `seq` shows it, so it also fetches every `refreshMs`.
 *  5. A server that hangs keeps its connections open: when nothing was heard for `silenceMs`, it asks for a sign of life.
 */
import { ApiError } from "./request.js";
import { Connection } from "./room/connection.js";
import { FallbackConnection } from "./room/fallback.js";
import { Schedule } from "./room/schedule.js";
import { Sequence } from "./room/sequence.js";
import { DEFAULTS, Status } from "./room/settings.js";
import { Snapshots } from "./room/snapshots.js";
import { Applied, applyEvent, fromSnapshot, toSnapshot } from "./room/state.js";

export { Status };

const SILENT = Object.freeze({ code: "SILENT", detail: "The server does not answer." });
const FINAL = new Set([Status.SIGNED_OUT, Status.ERROR]);

/** The connection that the options ask for. */
function connect(options, schedule) {
  if (options.transport) return options.transport(options, schedule);
  return options.fallback ? new FallbackConnection(options, schedule) : new Connection(options, schedule);
}

export class RoomClient {
  status = Status.CONNECTING;
  /** Maps by id: `agents`, `open` (vulnerabilities), `payments`; and `protocol`, `pool`, `counts`, `seq`, `asOf`. */
  state = null;
  /** The time, in milliseconds since 1970, since which `state` may be out of date; null while it is live. */
  staleSince = null;
  /** `{code, detail}` of the last refusal, for display; code SILENT: the server does not answer; null if there is none. */
  error = null;
  /** The number of snapshots fetched and of losses detected. */
  counters = { snapshots: 0, losses: 0 };

  /** Called after every change of `status` or `state`. */
  onChange = () => {};
  /** Called once with every event of the room, after it was merged or ignored as outdated. */
  onEvent = () => {};

  #options;
  #schedule;
  #connection;
  #snapshots;
  #sequence = new Sequence();
  #early = []; // events that arrived before the first state

  /**
   * @param {object} options `io`, or `transport` (such as `sse` of sse.js); `protocolId`; `token`: a string, or a function
   *   that returns one or a promise of one (called before each connection and request; it must not throw); optionally
   *   `fallback`: a function that returns a promise of the transport to use when Socket.IO cannot connect though the server
   *   answers; `fetch`; any of `DEFAULTS`.
   */
  constructor(options) {
    const token = async () => (typeof options.token === "function" ? options.token() : options.token);
    const all = { fetch: (...args) => globalThis.fetch(...args), ...DEFAULTS, ...options, token };
    this.#options = all;
    this.#schedule = new Schedule(all);
    this.#connection = connect(
      {
        ...all,
        onJoined: () => this.#onJoined(),
        onState: (body) => this.#onState(body),
        onMessage: (event) => this.#onMessage(event),
        onLost: () => this.#onLost(),
        onRefused: (refusal) => this.#onRefused(refusal),
        onSilent: () => this.#onSilent(),
        onHeard: () => this.#onHeard(),
      },
      this.#schedule,
    );
    const query = () => (this.#connection.agentBatches ? "?agentBatches=true" : "");
    const path = () => `/api/v1/protocols/${encodeURIComponent(this.protocolId)}/state${query()}`;
    const handlers = { path, onBody: (body) => this.#adopt(body), onFailed: (error) => this.#onFetchFailed(error) };
    this.#snapshots = new Snapshots({ ...all, ...handlers }, this.#schedule);
  }

  get protocolId() {
    return this.#connection.protocolId;
  }

  /** How events arrive: "socket.io" or "stream". */
  get transport() {
    return this.#connection.transport;
  }

  /** The held state, in the form of `/state`. */
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

  /** Switch to another protocol's room and discard the state of the old one. */
  async join(protocolId) {
    this.#snapshots.cancel();
    this.#schedule.cancelAll();
    this.#sequence.restart();
    this.#early = [];
    Object.assign(this, { state: null, staleSince: null, error: this.#connection.isSilent ? SILENT : null });
    const joined = this.#connection.join(protocolId);
    this.#set(Status.CONNECTING);
    await joined;
  }

  /** Fetch `/state` now, for example after a request whose effect has no event. */
  refresh() {
    if (this.status === Status.LIVE) this.#snapshots.now();
  }

  /** Send the current value of `token` to the server; to be called when it is a new token. */
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

  /** A stream begins with the state, and sends it again when the server has missed events. */
  #onState(body) {
    this.#snapshots.cancel();
    this.#sequence.restart();
    this.#adopt(body);
  }

  #onMessage(event) {
    const isLoss = this.#sequence.arrive(event.seq);
    this.#snapshots.note(event);
    if (!this.state) return void (this.#early = [...this.#early.slice(-99), event]);
    this.#merge(event);
    this.onEvent(event, this);
    if (isLoss) this.#onLoss();
    this.onChange(this);
  }

  /** An event about an object that is neither held nor covered by the snapshot requires a new snapshot. */
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
    if (!body?.seq) return this.#onFetchFailed(new ApiError("This is not a state."));
    this.state = fromSnapshot(body);
    this.counters.snapshots += 1;
    this.#schedule.succeeded();
    if (this.#connection.isSilent) this.status = Status.RECONNECTING;
    else Object.assign(this, { staleSince: null, error: null, status: Status.LIVE });
    this.#snapshots.later(this.#options.refreshMs * (0.75 + Math.random() / 2));
    const { since } = this.#snapshots;
    since.forEach((event) => this.#merge(event));
    if (this.#sequence.cover(body.seq, since.map((event) => event.seq))) this.#onLoss();
    this.#early.splice(0).forEach((event) => this.onEvent(event, this));
    this.onChange(this);
  }

  #onFetchFailed(error) {
    if (error.status === 401) return this.#end(Status.SIGNED_OUT, error);
    if (!error.isPassing) return this.#end(Status.ERROR, error);
    if (!this.#connection.isSilent) this.error = error;
    this.staleSince ??= Date.now();
    if (this.#connection.isOpen && !this.#connection.isSilent) this.#set(this.state ? Status.RESYNCING : Status.CONNECTING);
    this.#snapshots.later(Math.max(error.retryAfterMs, this.#schedule.backoff()));
  }

  #onLost() {
    this.#snapshots.cancel();
    if (this.status === Status.SIGNED_OUT) return;
    this.staleSince ??= this.#connection.heardAt ?? Date.now();
    this.#set(Status.RECONNECTING);
  }

  /** The connection is open, but the server does not answer. */
  #onSilent() {
    if (FINAL.has(this.status)) return;
    this.staleSince ??= this.#connection.heardAt;
    this.error = SILENT;
    this.#set(this.state ? Status.RECONNECTING : Status.CONNECTING);
  }

  #onHeard() {
    if (FINAL.has(this.status)) return;
    this.error = null;
    this.#set(this.state ? Status.RESYNCING : Status.CONNECTING);
    this.#snapshots.soon();
  }

  #onRefused(refusal) {
    if (refusal.code === "UNAUTHORIZED") return this.#end(Status.SIGNED_OUT, refusal);
    if (refusal.isFinal || refusal.code === "INVALID_PROTOCOL") return this.#end(Status.ERROR, refusal);
    this.error = refusal;
    this.#set(this.state ? Status.RECONNECTING : Status.CONNECTING);
  }

  /** Stop retrying until the user signs in or chooses another protocol. */
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
