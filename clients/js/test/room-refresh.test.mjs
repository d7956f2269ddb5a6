import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { RoomClient, Status } from "../src/room-client.js";
import { Room } from "./room.mjs";

const QUIET = { refreshMs: 20_000, jitterMs: 1000, restMs: 1000, retryMs: 500, retryCapMs: 15_000 };
let room;
let client;
let told;
let statuses;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
  room = new Room();
});
afterEach(() => {
  client.stop();
  mock.timers.reset();
  mock.restoreAll();
});

const answer = async () => ({ ok: true, json: async () => structuredClone(room.state()) });
const settled = () => new Promise((done) => setImmediate(done));
async function tick(milliseconds) {
  mock.timers.tick(milliseconds);
  await settled();
}

/** Connect, and fetch the first state unless `fetch` does not answer; `fetch: null` leaves the option out. */
async function start(options = {}) {
  const all = { io: room.io, fetch: answer, protocolId: "P1", token: "T", ...QUIET, ...options };
  if (!all.fetch) delete all.fetch;
  client = new RoomClient(all);
  told = [];
  statuses = [];
  client.onEvent = (event) => told.push(event.seq);
  client.onChange = () => statuses.push(client.status);
  client.start();
  await tick(1); // connects
  await tick(1); // fetches
}

test("the first state is fetched at once, without a pause, and until then the client is connecting", async () => {
  await start();
  assert.deepEqual([client.status, [...new Set(statuses)]], [Status.LIVE, [Status.CONNECTING, Status.LIVE]]);
});

for (const [random, milliseconds] of [[0, 15_000], [1, 25_000]]) {
  test(`the state is fetched again after ${milliseconds} ms if the random number is ${random}`, async () => {
    mock.method(Math, "random", () => random);
    await start();
    await tick(milliseconds - 3);
    assert.equal(client.counters.snapshots, 1);
    await tick(3);
    assert.equal(client.counters.snapshots, 2);
  });
}

test("without another one the client uses the page's fetch", async () => {
  const urls = [];
  mock.method(globalThis, "fetch", (url) => (urls.push(url), answer()));
  await start({ fetch: null });
  assert.deepEqual([urls, client.status], [["/api/v1/protocols/P1/state"], Status.LIVE]);
});

test("events that arrived before the first state of a room are not emitted in the next room", async () => {
  let isAnswering = false;
  await start({ fetch: () => (isAnswering ? answer() : new Promise(() => {})) });
  room.send(room.deposit(1));
  isAnswering = true;
  const joining = client.join("P2");
  await settled();
  await joining;
  await tick(1);
  assert.deepEqual([client.status, told], [Status.LIVE, []]);
});

test("a fetch that fails while the connection is open shows that the state may be out of date", async () => {
  let isDown = false;
  await start({ fetch: () => (isDown ? Promise.reject(new TypeError("fetch failed")) : answer()) });
  isDown = true;
  client.refresh();
  await settled();
  assert.deepEqual([client.status, client.error.code, client.staleSince], [Status.RESYNCING, "UNREACHABLE", Date.now()]);
});
