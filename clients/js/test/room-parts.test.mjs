import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { ApiError, getJson } from "../src/request.js";
import { Schedule } from "../src/room/schedule.js";
import { Sequence } from "../src/room/sequence.js";
import { DEFAULTS } from "../src/room/settings.js";

beforeEach(() => mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 }));
afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
});

// the numbers of events

const losses = (sequence, ...seqs) => seqs.map((seq) => sequence.arrive(String(seq)));

test("before a snapshot a missing seq is no gap, but a seq that does not increase is one", () => {
  assert.deepEqual(losses(new Sequence(), 5, 9, 10), [false, false, false]);
  assert.deepEqual(losses(new Sequence(), 5, 5), [false, true]);
  assert.deepEqual(losses(new Sequence(), 5, 4), [false, true]);
});

test("after a snapshot each missing seq is one gap", () => {
  const sequence = new Sequence();
  assert.equal(sequence.cover("7", []), false);
  assert.deepEqual(losses(sequence, 8, 9, 11, 12), [false, false, true, false]);
});

test("events that a snapshot covers may be missing or late", () => {
  const sequence = new Sequence();
  sequence.cover("7", []);
  assert.deepEqual(losses(sequence, 3, 6, 7, 8), [false, false, false, false]);
  const next = new Sequence();
  next.cover("7", []);
  assert.deepEqual(losses(next, 9), [true]);
});

test("the newer of the received and the covered seq counts", () => {
  const sequence = new Sequence();
  sequence.cover("7", []);
  losses(sequence, 8, 9, 10);
  sequence.cover("8", ["9", "10"]);
  assert.deepEqual(losses(sequence, 11, 13), [false, true]);
});

test("events received during a fetch must follow the snapshot without a gap", () => {
  const isLoss = (seq, ...since) => new Sequence().cover(String(seq), since.map(String));
  assert.equal(isLoss(7, 5, 6, 7), false);
  assert.equal(isLoss(7, 8, 9), false);
  assert.equal(isLoss(7, 6, 8), false);
  assert.equal(isLoss(7, 9), true);
  assert.equal(isLoss(7, 8, 10), true);
  assert.equal(isLoss(7, 8, 8), true);
  assert.equal(isLoss(7, 8, 7), true);
  assert.equal(isLoss(7, 9, 10), true);
  assert.equal(isLoss(0, 0), false);
  assert.equal(isLoss(7), false);
});

test("a new connection forgets earlier sequence numbers", () => {
  const sequence = new Sequence();
  sequence.cover("7", []);
  losses(sequence, 8);
  sequence.restart();
  assert.deepEqual(losses(sequence, 20, 30), [false, false]);
  losses(sequence, 31);
  sequence.restart();
  assert.deepEqual(losses(sequence, 1), [false]);
});

test("sequence numbers beyond 2^53 are distinguished", () => {
  const sequence = new Sequence();
  sequence.cover("9007199254740992", []);
  assert.deepEqual(losses(sequence, "9007199254740993", "9007199254740995"), [false, true]);
});

// timers

const schedule = (options = {}) => new Schedule({ jitterMs: 400, retryMs: 500, retryCapMs: 15_000, ...options });

test("of two timers with one name the earlier remains, and other names are independent", () => {
  const ran = [];
  const timers = schedule();
  timers.later("a", 50, () => ran.push("late"));
  timers.later("a", 20, () => ran.push("soon"));
  timers.later("a", 40, () => ran.push("later"));
  timers.later("a", 20, () => ran.push("same"));
  timers.later("b", 30, () => ran.push("other"));
  mock.timers.tick(100);
  assert.deepEqual(ran, ["soon", "other"]);
  timers.later("a", 70, () => ran.push("again"));
  mock.timers.tick(69);
  assert.equal(ran.length, 2);
  mock.timers.tick(1);
  assert.deepEqual(ran, ["soon", "other", "again"]);
});

test("a timer may be set again by its own action", () => {
  const ran = [];
  const timers = schedule();
  timers.later("a", 10, () => {
    ran.push(1);
    timers.later("a", 10, () => ran.push(2));
  });
  mock.timers.tick(10);
  mock.timers.tick(10);
  assert.deepEqual(ran, [1, 2]);
});

test("a cancelled timer does not run and can be set again", () => {
  const ran = [];
  const timers = schedule();
  timers.cancel("unknown");
  timers.later("a", 10, () => ran.push("a"));
  timers.later("b", 10, () => ran.push("b"));
  timers.later("c", 10, () => ran.push("c"));
  timers.cancel("a");
  timers.later("a", 30, () => ran.push("a later"));
  mock.timers.tick(20);
  assert.deepEqual(ran, ["b", "c"]);
  timers.later("b", 5, () => ran.push("b"));
  timers.cancelAll();
  mock.timers.tick(100);
  assert.deepEqual(ran, ["b", "c"]);
});

test("the backoff doubles up to its cap, with at least half of each pause, and resets after a success", () => {
  mock.method(Math, "random", () => 1);
  const longest = schedule();
  assert.deepEqual([1, 2, 3, 4, 5, 6, 7].map(() => longest.backoff()), [500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
  longest.succeeded();
  assert.equal(longest.backoff(), 500);
  mock.method(Math, "random", () => 0);
  assert.deepEqual([1, 2].map(() => longest.backoff()), [500, 1000]);
  assert.equal(schedule().backoff(), 250);
});

test("the random pause is between zero and its maximum", () => {
  mock.method(Math, "random", () => 0.25);
  assert.equal(schedule().jitter(), 100);
});

test("the documented pauses are the configured ones", () => {
  const { refreshMs, restMs, jitterMs, retryMs, retryCapMs, timeoutMs, agentBatches, baseUrl } = DEFAULTS;
  assert.deepEqual([refreshMs, restMs, jitterMs, retryMs, retryCapMs, timeoutMs], [20_000, 1_000, 400, 500, 15_000, 10_000]);
  assert.deepEqual([agentBatches, baseUrl], [false, ""]);
});

// requests

const answering = (status, body, headers = {}) => async () => new Response(body, { status, headers });
const failure = (fetch) => getJson(fetch, "/x", "T").then(() => assert.fail("no failure"), (error) => error);

test("a request sends the token and the signal and returns the body", async () => {
  const asked = [];
  const fetch = async (...args) => (asked.push(args), Response.json({ a: 1 }));
  const { signal } = new AbortController();
  assert.deepEqual(await getJson(fetch, "/state", "T", signal), { a: 1 });
  assert.deepEqual(asked, [["/state", { headers: { Authorization: "Bearer T" }, signal }]]);
});

test("a rejection carries the server's reason", async () => {
  const error = await failure(answering(429, JSON.stringify({ detail: "Slowly.", code: "RATE_LIMITED" }), { "Retry-After": "3" }));
  assert.ok(error instanceof ApiError);
  assert.deepEqual([error.detail, error.message, error.status, error.code, error.retryAfterMs], ["Slowly.", "Slowly.", 429, "RATE_LIMITED", 3000]);
  const bare = await failure(answering(502, "<html>"));
  assert.deepEqual([bare.detail, bare.status, bare.code, bare.retryAfterMs], ["HTTP 502", 502, "UNREACHABLE", 0]);
});

test("no response and an unreadable response are retryable failures", async () => {
  for (const fetch of [async () => Promise.reject(new TypeError("fetch failed")), answering(200, "<html>")]) {
    const error = await failure(fetch);
    assert.deepEqual([error.status, error.code, error.retryAfterMs, error.isPassing], [0, "UNREACHABLE", 0, true]);
  }
});

test("exactly these rejections are retryable", async () => {
  const passing = [0, 400, 401, 403, 404, 409, 422, 428, 429, 430, 499, 500, 502, 503, 599].filter((status) => new ApiError("x", { status }).isPassing);
  assert.deepEqual(passing, [0, 429, 500, 502, 503, 599]);
  const bare = new ApiError("x");
  assert.deepEqual([bare.status, bare.code, bare.retryAfterMs, bare.detail], [0, "UNREACHABLE", 0, "x"]);
});
