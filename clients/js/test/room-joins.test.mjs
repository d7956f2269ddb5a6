import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { RoomClient, Status } from "../src/room-client.js";
import { Room } from "./room.mjs";
import { pause, until } from "./waiting.mjs";

const QUICK = { jitterMs: 2, refreshMs: 60_000, restMs: 1, retryMs: 3, retryCapMs: 10 };
const GONE = { code: "INVALID_PROTOCOL", detail: "There is no such protocol." };
const SIGNED_OUT = { code: "UNAUTHORIZED", detail: "The token has expired." };
const BUSY = { code: "REALTIME_UNAVAILABLE", detail: "Redis did not answer." };
let room;
let client;

/** An answer that comes when the test says so. */
function held() {
  let give;
  const promise = new Promise((done) => (give = done));
  return { answer: () => promise, give };
}

async function start(options = {}) {
  client = new RoomClient({ io: room.io, fetch: room.fetch, protocolId: "P1", token: "T", ...QUICK, ...options });
  client.start();
  await until(() => client.status === Status.LIVE);
}

beforeEach(() => (room = new Room()));
afterEach(() => client.stop());

test("a permanently rejected join ends in an error, and nothing is retried", async () => {
  await start();
  room.joinAnswers = [() => ({ ok: false, error: GONE })];
  await client.join("P2");
  assert.deepEqual([client.status, client.error, client.state, client.protocolId], [Status.ERROR, GONE, null, "P2"]);
  const { requests } = room;
  await pause(40);
  assert.deepEqual([room.joins, room.requests, client.status], [["P2"], requests, Status.ERROR]);
});

test("a join rejected for an expired token signs out and disconnects", async () => {
  await start();
  room.joinAnswers = [() => ({ ok: false, error: SIGNED_OUT })];
  await client.join("P2");
  assert.deepEqual([client.status, client.error, room.connections.size], [Status.SIGNED_OUT, SIGNED_OUT, 0]);
});

test("a transiently rejected join is retried until it succeeds", async () => {
  await start();
  const refusal = () => ({ ok: false, error: BUSY });
  room.joinAnswers = [refusal, refusal];
  await client.join("P2");
  assert.deepEqual([client.status, client.error, client.state], [Status.CONNECTING, BUSY, null]);
  await until(() => client.status === Status.LIVE);
  assert.deepEqual([room.joins, client.error], [["P2", "P2", "P2"], null]);
});

test("a rejection that arrives after another join is ignored", async () => {
  await start();
  const late = held();
  room.joinAnswers = [late.answer];
  const first = client.join("P2");
  await client.join("P3");
  await until(() => client.status === Status.LIVE);
  late.give({ ok: false, error: GONE });
  await first;
  assert.deepEqual([client.status, client.error, client.protocolId], [Status.LIVE, null, "P3"]);
  await pause(20);
  assert.deepEqual(room.joins, ["P2", "P3"]);
});

test("an ack that arrives after another join fetches nothing", async () => {
  await start();
  const late = held();
  const second = held();
  room.joinAnswers = [late.answer, second.answer];
  const joins = [client.join("P2"), client.join("P3")];
  const { requests } = room;
  late.give({ ok: true, protocolId: "P2", seq: "0" });
  await pause(20);
  assert.deepEqual([room.requests, client.status], [requests, Status.CONNECTING]);
  second.give({ ok: true, protocolId: "P3", seq: "0" });
  await Promise.all(joins);
  await until(() => client.status === Status.LIVE);
  assert.equal(room.urls.at(-1), "/api/v1/protocols/P3/state");
});

test("a join whose ack is lost is repeated by the next connection", async () => {
  await start();
  room.joinAnswers = [() => Promise.reject(new Error("timeout"))];
  await client.join("P2");
  room.cut();
  await until(() => client.status === Status.LIVE);
  assert.equal(room.handshakes.at(-1).protocolId, "P2");
});

test("a response after the close changes nothing", async () => {
  await start();
  const late = held();
  room.joinAnswers = [late.answer];
  const joining = client.join("P2");
  client.stop();
  const { requests } = room;
  late.give({ ok: true, protocolId: "P2", seq: "0" });
  await joining;
  await pause(20);
  assert.equal(room.requests, requests);
});

test("a join while disconnected sends the new room in the next handshake", async () => {
  await start();
  const [socket] = room.connections;
  socket.disconnect();
  await client.join("P2");
  await until(() => client.status === Status.LIVE);
  assert.deepEqual(room.joins, []);
  assert.equal(room.handshakes.at(-1).protocolId, "P2");
});

test("a late response for the previous room is not shown", async () => {
  const slow = held();
  let isSlow = false;
  const fetch = async (url, options) => (isSlow && url.includes("P1") ? slow.answer() : room.fetch(url, options));
  await start({ fetch });
  isSlow = true;
  client.refresh();
  await client.join("P2");
  await until(() => client.status === Status.LIVE);
  const { snapshots } = client.counters;
  slow.give(Response.json({ ...room.state(), pool: { ...room.pool, total: "666.00" } }));
  await pause(20);
  assert.deepEqual([client.counters.snapshots, client.state.pool.total], [snapshots, "0.00"]);
});

test("events of another room and events without a seq are not applied", async () => {
  await start();
  const told = [];
  client.onEvent = (event) => told.push(event.seq);
  const event = room.deposit(1);
  room.send({ ...event, protocolId: "P9" });
  room.send({ ...event, seq: undefined });
  room.connections.forEach((socket) => socket.deliver({ eventType: "session:expired", code: "TOKEN_EXPIRED" }));
  assert.deepEqual([told, client.state.pool.total, client.counters.losses], [[], "0.00", 0]);
  room.send(event);
  assert.deepEqual([told, client.state.pool.total], [["1"], "1.00"]);
});

test("a snapshot older than an event received during its fetch does not hide the event", async () => {
  await start();
  const slow = held();
  const body = structuredClone(room.state());
  const fetch = room.fetch;
  room.fetch = fetch;
  client.stop();
  let isSlow = false;
  await start({ fetch: (...args) => (isSlow ? slow.answer() : fetch(...args)) });
  isSlow = true;
  client.refresh();
  await pause(1);
  room.send(room.deposit(5));
  slow.give(Response.json(body));
  await until(() => client.counters.snapshots === 2);
  assert.deepEqual([client.state.pool.total, client.counters.losses, client.status], ["5.00", 0, Status.LIVE]);
});

test("a gap among the events received during a fetch causes a resync", async () => {
  const slow = held();
  let isSlow = false;
  await start({ fetch: (...args) => (isSlow ? slow.answer() : room.fetch(...args)) });
  const body = structuredClone(room.state());
  isSlow = true;
  client.refresh();
  await pause(1);
  room.deposit(1);
  room.send(room.deposit(1));
  isSlow = false;
  slow.give(Response.json(body));
  await until(() => client.counters.losses > 0);
  await until(() => client.status === Status.LIVE && client.state.pool.total === "2.00");
  assert.equal(client.staleSince, null);
});

test("a reset of the room during a fetch is noticed", async () => {
  room.seq = 5;
  const slow = held();
  let isSlow = false;
  await start({ fetch: (...args) => (isSlow ? slow.answer() : room.fetch(...args)) });
  const body = structuredClone(room.state());
  isSlow = true;
  client.refresh();
  await pause(1);
  room.send(room.deposit(1));
  room.seq = 0;
  room.send(room.deposit(1));
  isSlow = false;
  slow.give(Response.json(body));
  await until(() => client.counters.losses > 0);
  await until(() => client.status === Status.LIVE && client.state.seq === "1");
  assert.equal(client.state.pool.total, "2.00");
});

test("the last hundred events before the first snapshot are emitted", async () => {
  const slow = held();
  client = new RoomClient({ io: room.io, fetch: slow.answer, protocolId: "P1", token: "T", ...QUICK });
  const told = [];
  client.onEvent = (event) => told.push(event.seq);
  client.start();
  await until(() => room.connections.size === 1);
  for (let number = 0; number < 120; number += 1) room.send(room.deposit(1));
  await pause(5);
  assert.deepEqual([told, client.state], [[], null]);
  slow.give(Response.json(room.state()));
  await until(() => client.status === Status.LIVE);
  assert.deepEqual([told.length, told[0], told.at(-1)], [100, "21", "120"]);
});

test("a fetch that takes too long is aborted and retried", async () => {
  let asked = 0;
  const fetch = (url, options) => {
    asked += 1;
    if (asked > 1) return room.fetch(url, options);
    return new Promise((_, fail) => options.signal.addEventListener("abort", () => fail(new Error("aborted"))));
  };
  await start({ fetch, timeoutMs: 20 });
  assert.ok(asked >= 2);
  assert.equal(client.error, null);
});

test("a transiently rejected fetch waits for its Retry-After", async () => {
  const answers = [];
  const fetch = async (url, options) => {
    answers.push(Date.now());
    if (answers.length > 1) return room.fetch(url, options);
    return Response.json({ detail: "Slowly.", code: "RATE_LIMITED" }, { status: 429, headers: { "Retry-After": "0.2" } });
  };
  const starting = start({ fetch });
  await until(() => client.error?.code === "RATE_LIMITED");
  assert.deepEqual([client.status, client.state], [Status.CONNECTING, null]);
  await starting;
  assert.ok(answers[1] - answers[0] >= 195, String(answers[1] - answers[0]));
});

for (const [status, wanted] of [[401, Status.SIGNED_OUT], [403, Status.ERROR], [404, Status.ERROR]]) {
  test(`a fetch that is answered ${status} ends in ${wanted}`, async () => {
    const fetch = async () => Response.json({ detail: "No.", code: "NO" }, { status });
    client = new RoomClient({ io: room.io, fetch, protocolId: "P1", token: "T", ...QUICK });
    client.start();
    await until(() => client.status === wanted);
    assert.deepEqual(client.error, { code: "NO", detail: "No." });
    assert.equal(room.connections.size, wanted === Status.SIGNED_OUT ? 0 : 1);
    if (wanted === Status.SIGNED_OUT) room.cut();
    await pause(20);
    assert.equal(client.status, wanted);
  });
}

test("the state is stale since the last message of the server", async () => {
  await start();
  const [socket] = room.connections;
  await pause(10);
  const before = Date.now();
  socket.ping();
  const after = Date.now();
  await pause(10);
  room.cut();
  assert.ok(client.staleSince >= before && client.staleSince <= after);
  const first = client.staleSince;
  room.isDown = true;
  await until(() => client.error !== null);
  assert.equal(client.staleSince, first);
});

test("a client that is not live neither fetches nor emits", async () => {
  client = new RoomClient({ io: room.io, fetch: room.fetch, protocolId: "P1", token: "T", ...QUICK });
  client.refresh();
  await client.renew();
  assert.equal(client.snapshot(), null);
  await pause(10);
  assert.deepEqual([room.requests, room.renewed], [0, []]);
});

test("a token may be a promise and is requested for each request", async () => {
  let number = 0;
  const tokens = [];
  const fetch = (url, options) => (tokens.push(options.headers.Authorization), room.fetch(url, options));
  await start({ fetch, token: async () => `T${++number}`, baseUrl: "https://server" });
  client.refresh();
  await until(() => client.counters.snapshots === 2);
  assert.deepEqual([room.handshakes[0].token, ...tokens], ["T1", "Bearer T2", "Bearer T3"]);
  assert.deepEqual(room.urls, Array(2).fill("https://server/api/v1/protocols/P1/state"));
});

test("an unknown object is fetched once, and not if the snapshot covers its event", async () => {
  await start();
  room.send(room.report("A1", 1));
  await until(() => client.counters.snapshots === 2);
  const covered = room.report("A2", 1);
  client.refresh();
  await until(() => client.counters.snapshots === 3);
  room.agents.delete("A2");
  client.state.agents.delete("A2");
  room.send(covered);
  await pause(20);
  assert.equal(client.counters.snapshots, 3);
});

test("an unreachable server is reported, and Socket.IO retries", async () => {
  room.refusal = {};
  client = new RoomClient({ io: room.io, fetch: room.fetch, protocolId: "P1", token: "T", ...QUICK });
  client.start();
  await until(() => client.error?.code === "UNREACHABLE");
  assert.equal(client.status, Status.CONNECTING);
  await pause(30);
  assert.equal(room.handshakes.length, 1);
});

test("the client itself retries a transiently rejected connection", async () => {
  room.refusal = BUSY;
  client = new RoomClient({ io: room.io, fetch: room.fetch, protocolId: "P1", token: "T", ...QUICK });
  client.start();
  await until(() => room.handshakes.length >= 3);
  assert.deepEqual([client.error, client.status], [BUSY, Status.CONNECTING]);
  room.refusal = null;
  await until(() => client.status === Status.LIVE);
  assert.equal(client.error, null);
});

test("after a reconnection the status is resyncing until the snapshot is fetched", async () => {
  await start();
  const seen = [];
  client.onChange = () => seen.at(-1) === client.status || seen.push(client.status);
  room.cut();
  await until(() => client.status === Status.LIVE);
  assert.deepEqual(seen, [Status.RECONNECTING, Status.RESYNCING, Status.LIVE]);
});
