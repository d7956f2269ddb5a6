import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { Schedule } from "../src/room/schedule.js";
import { Snapshots } from "../src/room/snapshots.js";

const PAUSE = 100; // the random pause of every test
beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
  mock.method(Math, "random", () => 0.25);
});
afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
});

/** Snapshots whose fetches the test answers: `asked` are the requests, `told` the callbacks. */
function make(options = {}) {
  const asked = [];
  const told = [];
  const fetch = (url, { headers, signal }) =>
    new Promise((give, fail) => {
      asked.push({ url, headers, signal, give: (body) => give({ ok: true, json: async () => body }), fail });
      signal.addEventListener("abort", () => fail(new Error("aborted")));
    });
  const callbacks = { onBody: (body) => told.push(body), onFailed: (error) => told.push(error.detail) };
  const urls = { baseUrl: "https://server", path: () => "/state", token: async () => "T" };
  const schedule = new Schedule({ jitterMs: 4 * PAUSE, retryMs: 500, retryCapMs: 15_000 });
  const snapshots = new Snapshots({ fetch, restMs: 1000, timeoutMs: 10_000, ...urls, ...callbacks, ...options }, schedule);
  return { snapshots, asked, told };
}

const settled = () => new Promise((done) => setImmediate(done));
async function tick(milliseconds) {
  mock.timers.tick(milliseconds);
  await settled();
}
async function answer(asked, body) {
  asked.at(-1).give(body);
  await settled();
}

test("a fetch asks the server for the path with the token", async () => {
  const { snapshots, asked, told } = make();
  snapshots.now();
  await settled();
  await answer(asked, "state");
  assert.deepEqual([asked[0].url, asked[0].headers, told], ["https://server/state", { Authorization: "Bearer T" }, ["state"]]);
});

test("a fetch that is needed soon waits for a random pause", async () => {
  const { snapshots, asked } = make();
  snapshots.soon();
  await tick(PAUSE - 1);
  assert.equal(asked.length, 0);
  await tick(1);
  assert.equal(asked.length, 1);
});

test("a fetch that is needed soon after another waits for the rest of a second as well", async () => {
  const { snapshots, asked } = make();
  snapshots.now();
  await settled();
  await answer(asked, "state");
  await tick(600);
  snapshots.soon();
  await tick(400 + PAUSE - 1);
  assert.equal(asked.length, 1);
  await tick(1);
  assert.equal(asked.length, 2);
});

test("the rest counts from the end of a cancelled fetch, too", async () => {
  const { snapshots, asked } = make();
  snapshots.now();
  await settled();
  snapshots.cancel();
  snapshots.soon();
  await tick(1000 + PAUSE - 1);
  assert.equal(asked.length, 1);
  await tick(1);
  assert.equal(asked.length, 2);
});

test("a fetch that is due while another runs is left out", async () => {
  const { snapshots, asked, told } = make();
  snapshots.now();
  await settled();
  snapshots.later(10);
  await tick(10);
  await answer(asked, "state");
  await tick(1000);
  assert.deepEqual([asked.length, told], [1, ["state"]]);
});

test("a fetch that is asked for now replaces one that runs and one that waits", async () => {
  const { snapshots, asked, told } = make();
  snapshots.now();
  await settled();
  snapshots.later(50);
  snapshots.now();
  await settled();
  assert.deepEqual(asked.map((each) => each.signal.aborted), [true, false]);
  await answer(asked, "second");
  await tick(1000);
  assert.deepEqual([asked.length, told], [2, ["second"]]);
});

test("the answer to a replaced fetch is not adopted even if it was not aborted in time", async () => {
  const fetches = [];
  const fetch = () => new Promise((give) => fetches.push((body) => give({ ok: true, json: async () => body })));
  const { snapshots, told } = make({ fetch });
  snapshots.now();
  await settled();
  snapshots.now();
  await settled();
  fetches[0]("first");
  await settled();
  fetches[1]("second");
  await settled();
  assert.deepEqual(told, ["second"]);
});

test("a fetch without an answer is aborted at the time limit and reported", async () => {
  const { snapshots, asked, told } = make();
  snapshots.now();
  await settled();
  await tick(9999);
  assert.deepEqual([asked[0].signal.aborted, told], [false, []]);
  await tick(1);
  assert.deepEqual([asked[0].signal.aborted, told], [true, ["aborted"]]);
});

test("each fetch has the whole time limit", async () => {
  const { snapshots, asked, told } = make();
  snapshots.now();
  await settled();
  await tick(6000);
  await answer(asked, "first");
  snapshots.now();
  await settled();
  await tick(9999);
  assert.equal(asked[1].signal.aborted, false);
  await tick(1);
  assert.deepEqual([asked[1].signal.aborted, told], [true, ["first", "aborted"]]);
});

test("the events since the last fetch began are kept while it runs", async () => {
  const { snapshots, asked } = make();
  snapshots.note("before");
  assert.deepEqual(snapshots.since, []);
  snapshots.now();
  snapshots.note("during");
  await settled();
  await answer(asked, "state");
  snapshots.note("after");
  assert.deepEqual(snapshots.since, ["during"]);
  snapshots.now();
  assert.deepEqual(snapshots.since, []);
});

test("a cancelled fetch is aborted and reports nothing, and no other follows", async () => {
  const { snapshots, asked, told } = make();
  snapshots.now();
  await settled();
  snapshots.later(50);
  snapshots.cancel();
  snapshots.note("after");
  await tick(20_000);
  assert.deepEqual([asked.length, asked[0].signal.aborted, told, snapshots.since], [1, true, [], []]);
});

test("a token that cannot be had is an error of the caller", async () => {
  const failure = new TypeError("no token");
  const { snapshots, told } = make({ token: () => Promise.reject(failure) });
  await assert.rejects(snapshots.now(), failure);
  assert.deepEqual(told, []);
});
