import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { Agent } from "../src/agent.js";
import { failed, running } from "../src/agent/reports.js";
import { pause, until } from "./waiting.mjs";

const NOW = 1_000_000;
const TOKEN = `x.${btoa(JSON.stringify({ sub: "scanner 7" }))}.x`;
let requests;
let answers; // of the next requests; after them each is accepted
let agent;
let logged;

async function fetch(url, { headers, body, signal }) {
  requests.push({ url, headers, body: JSON.parse(body), at: Date.now() });
  const answer = answers.shift();
  if (!answer) return new Response(JSON.stringify({ accepted: "1", id: `V${requests.length}` }), { status: 202 });
  return answer(signal);
}

const refused = (status, body = {}, headers = {}) => () => new Response(JSON.stringify(body), { status, headers });
const reset = () => {
  throw new TypeError("fetch failed");
};
const hang = (signal) => new Promise((_, fail) => signal.addEventListener("abort", () => fail(signal.reason)));

function make(options = {}) {
  const log = (event, details) => logged.push([event, details]);
  agent = new Agent({ token: TOKEN, protocolId: "P1", fetch, log, retryMs: 4, retryCapMs: 8, ...options });
  return agent;
}

/** From here on time passes by `pass` only. */
const stopTime = () => mock.timers.enable({ apis: ["setTimeout", "Date"], now: NOW });
async function pass(milliseconds) {
  mock.timers.tick(milliseconds);
  await pause(5); // for a request that should not be sent
}

const told = () => requests.map(({ body }) => [body.task ?? body.title, body.status ?? body.severity, body.progress]);
const ends = () => requests.filter(({ body }) => body.status !== "RUNNING");

beforeEach(() => ([requests, answers, logged] = [[], [], []]));
afterEach(async () => {
  await agent.close({ timeoutMs: 0 });
  mock.timers.reset();
});

test("a task is reported from its start to its end, as the agent of the token", async () => {
  make();
  const task = agent.task("Scan");
  await until(() => requests.length === 1);
  task.complete({ nextTask: "Report" });
  await until(() => requests.length === 2);
  assert.equal(requests[0].url, "/api/v1/agents/scanner%207/progress");
  assert.equal(requests[0].headers.Authorization, `Bearer ${TOKEN}`);
  assert.deepEqual(requests[0].body, { protocolId: "P1", task: "Scan", status: "RUNNING", progress: 0 });
  assert.deepEqual(requests[1].body, { protocolId: "P1", task: "Scan", status: "COMPLETED", nextTask: "Report" });
  assert.match(requests[1].headers["Idempotency-Key"], /^[0-9a-f]{32}$/);
  assert.deepEqual(agent.counters, { sent: 2, dropped: 0, refused: 0, retries: 0 });
});

test("of many reports the newest is sent, at most one a second", async () => {
  stopTime();
  const task = make().task("Scan");
  await until(() => agent.counters.sent === 1);
  for (let round = 0; round < 3; round += 1) {
    for (let progress = 0; progress < 100; progress += 1) task.progress(progress, { eta: 60 });
    await pass(300);
  }
  await pass(99);
  assert.equal(requests.length, 1);
  await pass(1);
  await until(() => agent.counters.sent === 2);
  assert.deepEqual(requests.map(({ body }) => body.progress), [0, 99]);
  assert.equal(requests[1].body.estimatedCompletion, new Date(NOW + 600 + 60_000).toISOString());
  task.complete();
  await until(() => agent.counters.sent === 3);
  task.progress(1);
  task.fail("too late");
  await pass(5000);
  assert.equal(requests.length, 3, "nothing follows the end");
});

test("run ends a task with its work, and lets its error go on", async () => {
  make();
  assert.equal(await agent.run("One", async (task) => task.name), "One");
  const error = new RangeError("out of gas");
  await assert.rejects(agent.run("Two", { protocolId: "P2" }, () => { throw error; }), error);
  await until(() => ends().length === 2);
  assert.deepEqual(ends().map(({ body }) => body.status), ["COMPLETED", "FAILED"]);
  assert.deepEqual(ends()[1].body.error, { message: "out of gas", code: "RangeError" });
  assert.equal(ends()[1].body.protocolId, "P2");
});

test("ends of tasks survive 503, lost connections and silence, in order, each under one key", async () => {
  make({ timeoutMs: 30 });
  answers = [refused(503, {}, { "Retry-After": "0.05" }), reset, hang, refused(502, null), refused(409, { code: "X" })];
  const first = agent.task("One");
  first.complete();
  agent.task("Two").fail("broken");
  answers = answers.slice(0, 4);
  await until(() => agent.undelivered.length === 0);
  const keys = new Set(ends().slice(0, 4).map(({ headers }) => headers["Idempotency-Key"]));
  assert.equal(keys.size, 1);
  assert.deepEqual(ends().slice(-2).map(({ body }) => body.task), ["One", "Two"]);
  assert.ok(requests[1].at - requests[0].at >= 49, "Retry-After is obeyed");
  assert.deepEqual(logged.map(([event]) => event), Array(4).fill("retrying"));
  assert.equal(agent.counters.retries, 4);
});

test("a running report that fails is replaced by the newest", async () => {
  stopTime();
  make({ retryMs: 60 });
  answers = [reset];
  const task = agent.task("Scan");
  await until(() => logged.length === 1);
  task.progress(7);
  task.progress(8);
  await pass(1000);
  await until(() => requests.length === 2);
  assert.deepEqual(told()[1], ["Scan", "RUNNING", 8]);
});

test("a refusal for good takes no other report with it, and is logged and counted", async () => {
  make();
  answers = Array(2).fill(refused(422, { code: "VALIDATION_ERROR", detail: "task: no" }));
  agent.task("bad\n").complete();
  agent.task("good").complete();
  await until(() => agent.undelivered.length === 0);
  assert.equal(requests.at(-1).body.task, "good");
  assert.equal(agent.counters.refused, 2);
  const refusal = { protocolId: "P1", task: "bad\n", reason: "task: no", code: "VALIDATION_ERROR" };
  assert.deepEqual(logged, ["RUNNING", "COMPLETED"].map((status) => ["report refused", { ...refusal, status }]));
});

test("a refused token is asked for again if a function returns it", async () => {
  const tokens = ["old", "old", "new"];
  make({ agentId: "A1", token: () => (tokens.length > 1 ? tokens.shift() : tokens[0]) });
  answers = [refused(401), refused(401)];
  agent.task("Scan").complete();
  await until(() => agent.undelivered.length === 0);
  assert.equal(requests.at(-1).headers.Authorization, "Bearer new");
  await agent.close();
  make({ agentId: "A1", token: "fixed" });
  answers = [refused(401)];
  agent.task("Scan").complete();
  await until(() => agent.counters.refused === 1);
  assert.equal(agent.undelivered.length, 0);
});

test("a finding is filed once, its promise gives it, and a refusal rejects it without harm", async () => {
  make();
  answers = [reset, refused(503)];
  const details = { bounty: "2500.00", description: "See …" };
  const filed = await agent.file("Reentrancy", "CRITICAL", details);
  assert.match(filed.id, /^V/);
  assert.equal(new Set(requests.map(({ headers }) => headers["Idempotency-Key"])).size, 1);
  assert.equal(requests[0].url, "/api/v1/protocols/P1/vulnerabilities");
  assert.deepEqual(requests[0].body, { title: "Reentrancy", severity: "CRITICAL", ...details });
  answers = [refused(409, { code: "INSUFFICIENT_FUNDS", detail: "Too little." })];
  await assert.rejects(agent.task("Scan", { protocolId: "P2" }).file("Two", "LOW"), { code: "INSUFFICIENT_FUNDS", status: 409 });
  agent.file("three", "LOW", { bounty: 2.5 });
  agent.file("four", "LOW", { description: 1n });
  await pause(5);
  assert.equal(agent.counters.dropped, 2);
});

test("what exceeds the bounds is dropped, counted and logged; accepted tasks are kept", async () => {
  make({ maxTasks: 2, maxFindings: 1, retryMs: 30_000, retryCapMs: 30_000 });
  answers = [reset, reset];
  const [one, two, three] = ["one", "two", "three"].map((name) => agent.task(name));
  [one, two, three].forEach((task) => task.complete());
  agent.file("first", "LOW");
  await assert.rejects(agent.file("second", "LOW"), { code: "NOT_ACCEPTED" });
  assert.deepEqual(agent.undelivered, ["one: COMPLETED", "two: COMPLETED", "finding: first"]);
  assert.equal(agent.counters.dropped, 2);
  const drops = logged.filter(([event]) => event.endsWith("dropped"));
  assert.deepEqual(drops.map(([, { task, title }]) => task ?? title), ["three", "second"]);
});

test("close delivers what is left, reports open tasks as FAILED, and ignores what follows", async () => {
  make({ retryMs: 30_000, retryCapMs: 30_000 });
  answers = [reset];
  agent.task("One").complete();
  await until(() => logged.length === 1);
  agent.task("Two");
  assert.deepEqual(await agent.close(), []);
  assert.deepEqual(ends().slice(-2).map(({ body }) => [body.task, body.status, body.error?.code]), [["One", "COMPLETED", undefined], ["Two", "FAILED", "AGENT_CLOSED"]]);
  const { length } = requests;
  agent.task("Three").complete();
  await pause(10);
  assert.equal(requests.length, length);
});

test("close returns what could not be delivered in time", async () => {
  make({ fetch: async () => reset() });
  agent.task("One").complete();
  const filed = agent.file("Two", "LOW");
  const left = await agent.close({ timeoutMs: 40 });
  assert.deepEqual(left, ["One: COMPLETED", "finding: Two"]);
  assert.deepEqual(logged.find(([event]) => event === "closed with undelivered")[1].count, 2);
  await assert.rejects(filed, { code: "NOT_ACCEPTED" });
});

test("no call throws or waits, whatever it is given and whatever the server and the log do", async () => {
  make({ fetch: hang, log: () => { throw new Error("no disk"); }, timeoutMs: 10_000, retryMs: 2 });
  const task = agent.task("Scan");
  const returned = [NaN, undefined, null, "x", {}, 10n, Symbol("no")].map((value) => task.progress(value, null));
  returned.push(task.progress(5, { eta: new Date(NaN) }));
  for (let each = 0; each < 1000; each += 1) returned.push(task.progress(each));
  returned.push(task.fail({ toString: () => { throw new Error(); } }, null));
  returned.push(task.complete(null));
  agent.file("x", "LOW", null);
  assert.deepEqual(new Set(returned), new Set([undefined]), "there is nothing to wait for");
  assert.equal(agent.counters.dropped, 8);
  await agent.close({ timeoutMs: 0 });
  assert.throws(() => make({ protocolId: null }).task("Scan"), TypeError);
});

test("progress is rounded and limited, an error is cut, and its name is the code", () => {
  assert.deepEqual([running(-3), running(33.3333), running("250")].map(({ progress }) => progress), [0, 33.33, 100]);
  assert.equal(running(1, new Date(0)).estimatedCompletion, "1970-01-01T00:00:00.000Z");
  assert.equal(failed("x".repeat(5000)).error.message.length, 2000);
  assert.deepEqual(failed(null).error, { message: "failed" });
  assert.deepEqual(failed(new TypeError(""), "RPC").error, { message: "TypeError", code: "RPC" });
});
