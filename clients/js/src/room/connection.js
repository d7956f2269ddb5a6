import { Heartbeat } from "./heartbeat.js";

/** Error codes for which a retry is useless. */
const FINAL = new Set(["UNAUTHORIZED", "INVALID_PROTOCOL"]);

/** The Socket.IO connection to one room: joins with the handshake, reconnects, and distinguishes kinds of refusal. */
export class Connection {
  transport = "socket.io";

  #options;
  #heartbeat;
  #schedule;
  #socket = null;
  #protocolId;
  #joins = 0;

  /**
   * @param {object} options `io`, `baseUrl`, `socketOptions`, `protocolId`, `agentBatches`, `token` (an async
   *   function), `timeoutMs`, `silenceMs`, `answerMs`, and the callbacks `onJoined()`, `onMessage(event)`, `onLost()`,
   *   `onRefused({code, detail})`, `onSilent()`, `onHeard()`
   * @param {import("./schedule.js").Schedule} schedule
   */
  constructor(options, schedule) {
    this.#options = options;
    this.#schedule = schedule;
    this.#protocolId = options.protocolId;
    const hear = () => this.#heartbeat.hear();
    // The acknowledgement counts, whatever it says: it comes from the very process that holds the connection.
    this.#heartbeat = new Heartbeat({ ...options, ask: () => this.#socket?.emit("session:ping", hear) });
  }

  get agentBatches() {
    return this.#options.agentBatches;
  }

  /** The time of the last sign of the server, in milliseconds since 1970. */
  get heardAt() {
    return this.#heartbeat.heardAt;
  }

  /** Whether the connection is open but the server does not answer. */
  get isSilent() {
    return this.#heartbeat.isSilent;
  }

  get protocolId() {
    return this.#protocolId;
  }

  get isOpen() {
    return this.#socket?.connected ?? false;
  }

  open() {
    const { io, baseUrl, socketOptions, timeoutMs: timeout, token } = this.#options;
    const auth = async (give) => give({ token: await token(), ...this.#room() });
    this.#socket = io(baseUrl || undefined, { transports: ["websocket"], forceNew: true, timeout, ...socketOptions, auth });
    this.#socket.on("connect", () => this.#onConnected());
    this.#socket.on("connect_error", (error) => this.#onError(error));
    this.#socket.on("disconnect", (reason) => this.#onDisconnected(reason));
    this.#socket.onAny((_, message) => this.#onMessage(message));
    this.#socket.io.on("ping", () => this.#heartbeat.hear());
  }

  close() {
    const socket = this.#socket;
    this.#socket = null;
    this.#joins += 1; // ignore the pending answer to a join
    this.#heartbeat.stop();
    socket?.disconnect();
  }

  /** Move to another room. A connection that is down, or breaks meanwhile, joins the new room with its handshake. */
  async join(protocolId) {
    const join = ++this.#joins;
    this.#protocolId = protocolId;
    if (!this.isOpen) return void this.#socket?.connect();
    const answer = await this.#socket.emitWithAck("protocol:join", this.#room()).catch(() => null);
    if (!answer || join !== this.#joins) return;
    if (answer.ok) return void this.#options.onJoined();
    this.#options.onRefused(answer.error);
    if (FINAL.has(answer.error.code)) return;
    this.#schedule.later("join", this.#schedule.backoff(), () => this.join(protocolId));
  }

  /** Send a new token before the old one expires; otherwise the server ends the connection. */
  async renew() {
    if (this.isOpen) this.#socket.emit("session:renew", { token: await this.#options.token() });
  }

  #room() {
    return { protocolId: this.#protocolId, ...(this.#options.agentBatches && { agentBatches: true }) };
  }

  #onConnected() {
    this.#heartbeat.start();
    this.#options.onJoined();
  }

  #onMessage(message) {
    this.#heartbeat.hear();
    const isOfThisRoom = message?.seq && message.protocolId === this.#protocolId;
    if (isOfThisRoom) this.#options.onMessage(message);
  }

  #onDisconnected(reason) {
    if (!this.#socket) return;
    this.#heartbeat.stop();
    this.#options.onLost();
    // Socket.IO does not reconnect by itself after the server ends the connection (a restart, an expired token).
    if (reason === "io server disconnect") this.#connectLater(this.#schedule.jitter());
  }

  #onError(error) {
    if (!this.#socket) return;
    const refusal = error.data?.code ? error.data : { code: "UNREACHABLE", detail: error.message };
    const { active } = this.#socket;
    this.#options.onRefused(refusal);
    if (!active && !FINAL.has(refusal.code)) this.#connectLater(this.#schedule.backoff());
  }

  #connectLater(milliseconds) {
    this.#schedule.later("connect", milliseconds, () => this.#socket?.connect());
  }
}
