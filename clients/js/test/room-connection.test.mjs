import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { Connection } from "../src/room/connection.js";
import { Schedule } from "../src/room/schedule.js";

const NOW = 1_000_000;
const LONG = 60_000;
beforeEach(() => mock.timers.enable({ apis: ["setTimeout", "Date"], now: NOW }));
afterEach(() => mock.timers.reset());

/** Records what the connection sends; the test calls its handlers. */
class Socket {
  connected = true;
  active = true;
  handlers = {};
  sent = [];
  connects = 0;
  answers = [];
  io = { on: (name, handler) => (this.handlers[`manager ${name}`] = handler) };

  on(name, handler) {
    this.handlers[name] = handler;
  }

  onAny(handler) {
    this.any = handler;
  }

  connect() {
    this.connects += 1;
  }

  disconnect() {
    this.handlers.disconnect("io client disconnect");
  }

  emit(...args) {
    this.sent.push(args);
  }

  emitWithAck(...args) {
    this.sent.push(args);
    return new Promise((give) => this.answers.push(give));
  }
}

function open(options = {}) {
  const asked = [];
  const told = [];
  const socket = new Socket();
  const tell = (name) => (value) => told.push(value === undefined ? [name] : [name, value]);
  const callbacks = { onJoined: tell("joined"), onMessage: tell("message"), onLost: tell("lost"), onRefused: tell("refused") };
  const io = (...args) => (asked.push(args), socket);
  const all = { io, baseUrl: "", socketOptions: {}, timeoutMs: 10_000, protocolId: "P1", token: async () => "T", ...callbacks, ...options };
  const connection = new Connection(all, new Schedule({ jitterMs: 400, retryMs: 500, retryCapMs: 15_000 }));
  return { connection, socket, asked, told };
}

function opened(options) {
  const all = open(options);
  all.connection.open();
  return all;
}

const settled = () => new Promise((done) => setImmediate(done));
const refusal = (code) => Object.assign(new Error(code), { data: { code, detail: "No." } });

test("the connection goes to the page's origin unless another server is given", () => {
  assert.equal(opened().asked[0][0], undefined);
  assert.equal(opened({ baseUrl: "https://server" }).asked[0][0], "https://server");
});

test("the connection uses WebSocket only, is shared with no other client, and has the page's options", () => {
  const [, { auth, ...options }] = opened({ socketOptions: { path: "/io" } }).asked[0];
  assert.deepEqual(options, { transports: ["websocket"], forceNew: true, timeout: 10_000, path: "/io" });
  assert.equal(typeof auth, "function");
});

test("a ping or any message of the server is a sign of life", () => {
  const { connection, socket } = opened();
  assert.equal(connection.heardAt, null);
  socket.handlers["manager ping"]();
  assert.equal(connection.heardAt, NOW);
  mock.timers.tick(5);
  socket.any("notice", undefined);
  assert.equal(connection.heardAt, NOW + 5);
});

test("a message without content is not of the room", () => {
  const { socket, told } = opened();
  socket.any("notice", undefined);
  assert.deepEqual(told, []);
});

test("a join before the connection is opened is sent with the handshake", async () => {
  const { connection, asked } = open();
  await connection.join("P2");
  connection.open();
  const handshake = await new Promise((give) => asked[0][1].auth(give));
  assert.deepEqual(handshake, { token: "T", protocolId: "P2" });
});

test("a join names the room and the wish for batches", async () => {
  const { connection, socket, told } = opened({ agentBatches: true });
  const joining = connection.join("P2");
  assert.deepEqual(socket.sent, [["protocol:join", { protocolId: "P2", agentBatches: true }]]);
  socket.answers[0]({ ok: true });
  await joining;
  assert.deepEqual(told, [["joined"]]);
});

test("the answer to a join of an earlier connection is ignored", async () => {
  const { connection, socket, told } = opened();
  connection.join("P2");
  connection.close();
  connection.open();
  connection.join("P3");
  socket.answers[0]({ ok: true });
  await settled();
  assert.deepEqual(told, []);
});

test("a renewal sends the new token", async () => {
  const { connection, socket } = opened();
  await connection.renew();
  assert.deepEqual(socket.sent, [["session:renew", { token: "T" }]]);
});

test("after a close neither a disconnection nor an error is reported", () => {
  const { connection, socket, told } = opened();
  connection.close();
  socket.handlers.connect_error(new Error("late"));
  assert.deepEqual(told, []);
});

test("a connection that broke is left to Socket.IO, one that the server ended is opened again", () => {
  const { socket, told } = opened();
  socket.handlers.disconnect("transport close");
  mock.timers.tick(LONG);
  assert.deepEqual([socket.connects, told], [0, [["lost"]]]);
  socket.handlers.disconnect("io server disconnect");
  mock.timers.tick(400);
  assert.equal(socket.connects, 1);
});

test("a connection that was closed meanwhile is not opened again", () => {
  const { connection, socket } = opened();
  socket.handlers.disconnect("io server disconnect");
  connection.close();
  mock.timers.tick(LONG);
  assert.equal(socket.connects, 0);
});

test("an error without a response is reported as unreachable and left to Socket.IO", () => {
  const { socket, told } = opened();
  socket.handlers.connect_error(new Error("no network"));
  mock.timers.tick(LONG);
  assert.deepEqual([told, socket.connects], [[["refused", { code: "UNREACHABLE", detail: "no network" }]], 0]);
});

for (const [code, connects] of [["UNAUTHORIZED", 0], ["INVALID_PROTOCOL", 0], ["REALTIME_UNAVAILABLE", 1]]) {
  test(`a connection refused with ${code} is opened again ${connects} times`, () => {
    const { socket, told } = opened();
    socket.active = false;
    socket.handlers.connect_error(refusal(code));
    mock.timers.tick(LONG);
    assert.deepEqual([told, socket.connects], [[["refused", { code, detail: "No." }]], connects]);
  });

  test(`a join refused with ${code} is sent again ${connects} times`, async () => {
    const { connection, socket, told } = opened();
    const joining = connection.join("P2");
    socket.answers[0]({ ok: false, error: { code } });
    await joining;
    mock.timers.tick(LONG);
    assert.deepEqual([told, socket.sent.length], [[["refused", { code }]], 1 + connects]);
  });
}
