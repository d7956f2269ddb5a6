import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { RoomClient, Status } from "../src/room-client.js";
import { sse } from "../src/sse.js";
import { StreamedRoom } from "./streams.mjs";
import { pause, until } from "./waiting.mjs";

const QUICK = { jitterMs: 1, refreshMs: 60_000, restMs: 1, retryMs: 2, retryCapMs: 5, returnMs: 60_000 };
let room;
let client;
let sockets;
let isBlocked;
let isUp;

/** Socket.IO in front of which a proxy may block it. */
function io(_, options) {
  let isClosed = false;
  const handlers = {};
  const attempt = () => {
    if (isClosed) return;
    if (!isBlocked) return options.auth(() => ((socket.connected = true), handlers.connect()));
    handlers.connect_error(new Error("websocket error"));
    setTimeout(attempt, 2); // Socket.IO tries again by itself
  };
  const socket = {
    active: true, connected: false, io: { on: () => {} }, on: (name, handler) => (handlers[name] = handler), onAny: () => {},
    emit: () => {}, connect: attempt, disconnect: () => ((isClosed = true), (socket.connected = false)),
    cut: () => ((socket.connected = false), handlers.disconnect("transport close"), setTimeout(attempt, 2)),
  };
  sockets.push(socket);
  setTimeout(attempt);
  return socket;
}

beforeEach(() => {
  [room, sockets, isBlocked, isUp] = [new StreamedRoom(), [], true, true];
});
afterEach(() => client.stop());

function open(options = {}) {
  const loads = [];
  const fallback = async () => (loads.push(1), sse);
  const fetch = async (url, given) => {
    if (!isUp) throw new TypeError("fetch failed");
    return url.endsWith("/healthz") ? new Response("{}") : room.fetch(url, given);
  };
  client = new RoomClient({ io, fallback, fetch, protocolId: "P1", token: "T", ...QUICK, ...options });
  client.start();
  return loads;
}

test("where Socket.IO is blocked the room is live over a stream, whose module is loaded once", async () => {
  const loads = open();
  await until(() => client.status === Status.LIVE);
  assert.deepEqual([client.transport, loads.length, client.error], ["stream", 1, null]);
  room.send(room.deposit(1000));
  await until(() => client.state.pool.total === "1000.00");
  const attempts = sockets.length;
  await pause(30);
  assert.equal(sockets.length, attempts, "Socket.IO is left alone meanwhile");
});

test("a server that does not answer at all is no reason for a stream", async () => {
  isUp = false;
  const loads = open();
  await pause(60);
  assert.equal(loads.length, 0);
  assert.deepEqual([client.status, client.error.code, client.transport], [Status.CONNECTING, "UNREACHABLE", "socket.io"]);
  isUp = true;
  isBlocked = false;
  await until(() => client.status === Status.LIVE);
  assert.equal(client.transport, "socket.io");
});

test("failures while the server restarts do not add up to a block", async () => {
  const loads = open({ fallbackAfter: 40 });
  for (let round = 0; round < 8; round += 1) {
    await pause(10);
    isUp = false;
    await pause(15);
    isUp = true;
  }
  assert.equal(loads.length, 0);
});

test("a stream that could not be loaded is loaded at the next failure", async () => {
  let tries = 0;
  const fallback = async () => ((tries += 1) < 3 ? Promise.reject(new TypeError("not loaded")) : sse);
  open({ fallback });
  await until(() => client.status === Status.LIVE);
  assert.equal(tries, 3);
});

test("Socket.IO is tried again after a while, and used when it connects, without a gap", async () => {
  open({ returnMs: 20 });
  await until(() => client.status === Status.LIVE && sockets.length > 2);
  assert.equal(client.transport, "stream");
  const seen = [];
  client.onChange = () => seen.push(client.status);
  room.deposit(9);
  isBlocked = false;
  await until(() => client.transport === "socket.io" && client.status === Status.LIVE);
  assert.ok(seen.every((status) => status === Status.LIVE || status === Status.RESYNCING), String(seen));
  assert.equal(client.state.pool.total, "9.00");
  await until(() => room.streams.length === 0);
});

test("a lost connection falls back again", async () => {
  isBlocked = false;
  open();
  await until(() => client.status === Status.LIVE);
  isBlocked = true;
  sockets[0].cut();
  await until(() => client.transport === "stream" && client.status === Status.LIVE);
});

test("another protocol is joined over the stream, and kept on the way back", async () => {
  open({ returnMs: 40 });
  await until(() => client.status === Status.LIVE);
  await client.join("P2");
  assert.equal(client.protocolId, "P2");
  await until(() => client.status === Status.LIVE);
  assert.ok(room.urls.at(-1).includes("/P2/"));
  isBlocked = false;
  await until(() => client.transport === "socket.io");
  assert.equal(client.protocolId, "P2");
});

test("after a stop neither is open, and a start begins with Socket.IO", async () => {
  open();
  await until(() => client.status === Status.LIVE);
  client.stop();
  await until(() => room.streams.length === 0);
  isBlocked = false;
  client.start();
  await until(() => client.status === Status.LIVE);
  assert.equal(client.transport, "socket.io");
});
