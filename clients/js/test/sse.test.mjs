import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { RoomClient, Status } from "../src/room-client.js";
import { eventParser, sse } from "../src/sse.js";
import { StreamedRoom, refused } from "./streams.mjs";
import { pause, until } from "./waiting.mjs";

const QUICK = { jitterMs: 1, refreshMs: 60_000, restMs: 1, retryMs: 2, retryCapMs: 8 };
let room;
let client;
beforeEach(() => (room = new StreamedRoom()));
afterEach(() => {
  client?.stop();
  mock.timers.reset();
});

function open(options = {}) {
  client = new RoomClient({ transport: sse, fetch: room.fetch, protocolId: "P1", token: "T", ...QUICK, ...options });
  client.start();
}

async function start(options) {
  open(options);
  await until(() => client.status === Status.LIVE);
}

test("a stream's first event is the state, and its events change it; nothing else is fetched", async () => {
  await start();
  assert.deepEqual(room.urls, ["/api/v1/protocols/P1/events"]);
  assert.deepEqual(room.tokens, ["Bearer T"]);
  assert.equal(client.transport, "stream");
  room.send(room.deposit(1000));
  await until(() => client.state.pool.total === "1000.00");
  assert.deepEqual([client.counters, client.error], [{ snapshots: 1, losses: 0 }, null]);
});

test("a state within the stream replaces what is held, also one with a lower seq", async () => {
  await start();
  room.send(room.deposit(5));
  room.deposit(6);
  room.seq = 0;
  room.write(room.frame("state", room.state()));
  await until(() => client.state.pool.total === "11.00");
  room.send(room.deposit(1));
  await until(() => client.state.pool.total === "12.00");
  assert.deepEqual(client.counters, { snapshots: 2, losses: 0 });
  assert.equal(room.requests, 0);
});

test("a jump in seq that the server did not tell of is a loss all the same", async () => {
  await start();
  room.deposit(1);
  room.send(room.deposit(2));
  await until(() => client.counters.losses === 1 && client.status === Status.LIVE);
  assert.equal(client.state.pool.total, "3.00");
});

for (const how of ["end", "cut"])
  test(`after a stream's ${how} a new one begins with the state`, async () => {
    await start();
    room.deposit(7);
    const seen = [];
    client.onChange = () => seen.push([client.status, client.staleSince !== null]);
    room.streams[0][how]();
    await until(() => seen.length);
    assert.deepEqual(seen[0], [Status.RECONNECTING, true]);
    await until(() => client.status === Status.LIVE && client.state.pool.total === "7.00");
  });

test("a stream of which nothing is heard is opened anew, and comments are heard", async () => {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
  await start({ streamSilenceMs: 1000 });
  for (let beat = 0; beat < 3; beat += 1) {
    room.write(": still here\n\n");
    await pause(5);
    mock.timers.tick(999);
  }
  assert.equal(room.streams.length, 1);
  mock.timers.tick(1);
  await until(() => client.status === Status.RECONNECTING && room.streams.length === 0, "the silent one is ended");
  mock.timers.tick(QUICK.retryCapMs);
  await until(() => client.status === Status.LIVE);
  assert.deepEqual([room.streams.length, room.tokens.length], [1, 2]);
});

test("a response that never comes is given up after the time limit", async () => {
  room.refusals = [() => new Promise(() => {})];
  const asked = room.fetch;
  room.fetch = (url, options) =>
    Promise.race([asked(url, options), new Promise((_, fail) => options.signal.addEventListener("abort", () => fail(options.signal.reason)))]);
  await start({ timeoutMs: 100 });
  assert.ok(room.tokens.length >= 2);
});

test("an expired token ends the stream, and the next one has the new token", async () => {
  let token = "old";
  await start({ token: () => token });
  token = "new";
  room.write('event: session:expired\ndata: {"code":"TOKEN_EXPIRED"}\n\n');
  room.streams[0].end();
  await until(() => room.tokens.length === 2 && client.status === Status.LIVE);
  assert.deepEqual(room.tokens, ["Bearer old", "Bearer new"]);
});

test("a refused token signs out, and nothing is retried", async () => {
  room.refusals = [refused(401, { code: "TOKEN_EXPIRED", detail: "The token has expired." })];
  open();
  await until(() => client.status === Status.SIGNED_OUT);
  assert.equal(client.error.code, "UNAUTHORIZED");
  await pause(30);
  assert.equal(room.tokens.length, 1);
});

test("a protocol that is not granted is an error until another one is joined", async () => {
  room.refusals = [refused(404, { code: "PROTOCOL_NOT_FOUND", detail: "There is no such protocol." })];
  open();
  await until(() => client.status === Status.ERROR);
  assert.deepEqual(client.error, { code: "INVALID_PROTOCOL", detail: "There is no such protocol." });
  await client.join("P 2");
  await until(() => client.status === Status.LIVE);
  assert.equal(room.urls.at(-1), "/api/v1/protocols/P%202/events");
});

test("a server that refuses for now is asked again, no sooner than it wants", async () => {
  room.refusals = [refused(503), refused(502, null), refused(429, { code: "RATE_LIMITED" }, { "Retry-After": "0.1" })];
  const began = Date.now();
  await start();
  assert.equal(room.tokens.length, 4);
  assert.ok(Date.now() - began >= 99);
});

test("a page of a proxy in place of the stream is no stream", async () => {
  room.refusals = [() => new Response("<html>", { headers: { "Content-Type": "text/html" } })];
  await start();
  assert.equal(room.tokens.length, 2);
});

test("a renewed token opens a new stream, and the old one is read until the new one has begun", async () => {
  let token = "old";
  await start({ token: () => token });
  const seen = [];
  client.onChange = () => seen.push(client.status);
  token = "new";
  let answer;
  const asked = room.fetch;
  room.refusals = [() => new Promise((give) => (answer = give))];
  client.renew();
  await until(() => answer);
  room.send(room.deposit(3));
  await until(() => client.state.pool.total === "3.00");
  answer(await asked("/events", { headers: {}, signal: new AbortController().signal }));
  await until(() => client.counters.snapshots === 2 && room.streams.length === 1);
  room.send(room.deposit(4));
  await until(() => client.state.pool.total === "7.00");
  assert.deepEqual(new Set(seen), new Set([Status.LIVE]));
  assert.deepEqual(room.tokens.slice(0, 2), ["Bearer old", "Bearer new"]);
});

test("a new stream that is refused ends the old one", async () => {
  await start();
  room.refusals = [refused(401, { detail: "Revoked." })];
  client.renew();
  await until(() => client.status === Status.SIGNED_OUT && room.streams.length === 0);
});

test("with agentBatches the stream and the fetched state are those of the batches", async () => {
  await start({ agentBatches: true });
  client.refresh();
  await until(() => room.requests === 1);
  assert.deepEqual(room.urls, ["/api/v1/protocols/P1/events?agentBatches=true", "/api/v1/protocols/P1/state?agentBatches=true"]);
});

test("after a stop nothing is open and nothing is opened", async () => {
  await start();
  client.stop();
  await until(() => room.streams.length === 0);
  await pause(20);
  assert.equal(room.tokens.length, 1);
});

const parsed = (pieces) => {
  const events = [];
  const parse = eventParser((name, data) => events.push([name, data]));
  pieces.forEach((piece) => parse(piece));
  return events;
};

test("a stream is split into the same events wherever it is cut, with any line ends", () => {
  const wanted = [["state", '{"a":1}'], ["message", "one\ntwo"], ["vuln:discovered", " x:y"]];
  for (const end of ["\n", "\r\n", "\r"]) {
    const lines = [": comment", "", "event: state", "id: 4", 'data: {"a":1}', "", "data: one", "data:two", "", "retry: 3", "event:vuln:discovered", "data:  x:y", "", "event: never", "data: unfinished"];
    const text = lines.join(end) + end;
    assert.deepEqual(parsed([text]), wanted);
    assert.deepEqual(parsed([...text]), wanted);
  }
});

test("an event that never ends is refused before it fills the memory", () => {
  const parse = eventParser(() => {});
  assert.throws(() => Array.from({ length: 20 }, () => parse("x".repeat(1_000_000))), /too large/);
  const lines = eventParser(() => {});
  assert.throws(() => Array.from({ length: 20 }, () => lines(`data: ${"x".repeat(1_000_000)}\n`)), /too large/);
});
