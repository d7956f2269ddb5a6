import { pause } from "./waiting.mjs";

/** An in-memory room that implements the contract for one client, in place of the server behind `io` and `fetch`. */
export class Room {
  seq = 0;
  connections = new Set();
  pool = { protocolId: "P1", currency: "USDC", total: "0.00", available: "0.00", reserved: "0.00", paid: "0.00", version: "0" };
  agents = new Map();
  vulnerabilities = new Map();
  requests = 0;
  urls = [];
  handshakes = [];
  renewed = [];
  isDown = false;
  /** Whether the server holds its connections but does not answer on them. */
  isFrozen = false;
  pings = 0;
  refusal = null;
  /** Functions that return the acks of the next joins; after them every join is accepted. */
  joinAnswers = [];
  joins = [];

  io = (_, options) => {
    const socket = new FakeSocket(this, options);
    setTimeout(() => socket.connect());
    return socket;
  };

  fetch = async (url, { signal }) => {
    this.requests += 1;
    this.urls.push(url);
    if (this.isDown) throw new TypeError("fetch failed");
    const body = structuredClone(this.state());
    await pause(Math.random() * 4);
    signal.throwIfAborted();
    return { ok: true, status: 200, headers: new Headers(), json: async () => body };
  };

  state() {
    const all = [...this.vulnerabilities.values()];
    const count = (status) => String(all.filter((each) => each.status === status).length);
    return {
      protocol: { id: "P1" },
      seq: String(this.seq),
      asOf: new Date().toISOString(),
      pool: this.pool,
      agents: [...this.agents.values()],
      vulnerabilities: {
        open: all.filter((each) => ["PENDING", "CONFIRMED"].includes(each.status)),
        counts: { total: String(all.length), byStatus: Object.fromEntries(STATUSES.map((each) => [each, count(each)])) },
      },
      payments: [],
    };
  }

  report(agentId, progress) {
    const data = { agentId, task: "scan", progress: String(progress), status: "RUNNING", estimatedCompletion: null, error: null, nextTask: null };
    data.version = next(this.agents.get(agentId)?.version);
    const timestamp = new Date().toISOString();
    this.agents.set(agentId, { name: agentId, type: "RESEARCHER", presence: "ONLINE", lastSeen: timestamp, ...data });
    return this.event("agent:task_update", data, timestamp);
  }

  deposit(amount) {
    const total = `${BigInt(this.pool.total.split(".")[0]) + BigInt(amount)}.00`;
    this.pool = { ...this.pool, total, available: total, version: next(this.pool.version) };
    return this.event("bounty_pool:updated", { ...this.pool, changeType: "DEPOSIT", amount: `${amount}.00` });
  }

  file(id) {
    this.vulnerabilities.set(id, { id, title: id, severity: "HIGH", status: "PENDING", bounty: null, version: "1" });
  }

  decide(id, newStatus) {
    const held = this.vulnerabilities.get(id);
    const changed = { ...held, status: newStatus, version: next(held.version) };
    this.vulnerabilities.set(id, changed);
    return this.event("vuln:status_changed", {
      vulnerabilityId: id, oldStatus: held.status, newStatus, severity: "HIGH", version: changed.version, changedAt: new Date().toISOString(),
    });
  }

  event(eventType, data, timestamp = new Date().toISOString()) {
    this.seq += 1;
    return { eventType, timestamp, protocolId: "P1", seq: String(this.seq), data };
  }

  send(event) {
    this.connections.forEach((socket) => socket.deliver(structuredClone(event)));
  }

  cut(reason = "transport close") {
    this.connections.forEach((socket) => socket.drop(reason));
  }
}

const STATUSES = ["PENDING", "CONFIRMED", "PAID", "REJECTED"];
const next = (version = "0") => String(BigInt(version) + 1n);

class FakeSocket {
  connected = false;
  active = true;
  io = { on: (_, handler) => (this.ping = handler) };
  #room;
  #options;
  #handlers = {};
  #any = () => {};

  constructor(room, options) {
    this.#room = room;
    this.#options = options;
  }

  on(name, handler) {
    this.#handlers[name] = handler;
  }

  onAny(handler) {
    this.#any = handler;
  }

  connect() {
    this.#options.auth((handshake) => {
      this.#room.handshakes.push(handshake);
      if (this.#room.refusal) return this.#refuse(this.#room.refusal);
      this.connected = true;
      this.#room.connections.add(this);
      this.#handlers.connect();
    });
  }

  #refuse(data) {
    this.active = !data.code; // Socket.IO itself retries if no server responded
    this.#handlers.connect_error(Object.assign(new Error(data.code), { data }));
  }

  disconnect() {
    this.connected = false;
    this.#room.connections.delete(this);
  }

  drop(reason) {
    this.disconnect();
    this.#handlers.disconnect(reason);
    if (reason !== "io server disconnect") setTimeout(() => this.connect(), 3);
  }

  deliver(event) {
    this.#any(event.eventType, event);
  }

  emit(name, argument) {
    if (name === "session:renew") return void this.#room.renewed.push(argument.token);
    this.#room.pings += 1;
    if (!this.#room.isFrozen) setTimeout(() => argument({ ok: false }));
  }

  async emitWithAck(_, { protocolId }) {
    this.#room.joins.push(protocolId);
    const answer = this.#room.joinAnswers.shift();
    return answer ? answer() : { ok: true, protocolId, seq: String(this.#room.seq) };
  }
}
