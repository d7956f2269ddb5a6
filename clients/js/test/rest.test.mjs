import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { ApiError, RestClient } from "../src/rest.js";
import { OPERATIONS } from "../src/rest/operations.js";

let requests;
let answers;
let rest;

const json = (body, status = 200, headers = {}) => () => new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json", ...headers } });
const problem = (status, body, headers) => json({ detail: "No.", ...body }, status, headers);
const reset = () => {
  throw new TypeError("fetch failed");
};

beforeEach(() => {
  [requests, answers] = [[], []];
  const fetch = async (url, options) => {
    requests.push({ url, ...options, body: options.body && JSON.parse(options.body) });
    return answers.shift()(options);
  };
  rest = new RestClient({ baseUrl: "https://server", token: async () => "T", fetch, retryMs: 2, retryCapMs: 4 });
});

test("every operation is a method that sends its parameters where they belong", async () => {
  for (const [name, { method, path, hasKey = false }] of Object.entries(OPERATIONS)) {
    const parameters = Object.fromEntries([...path.matchAll(/\{(\w+)\}/g)].map(([, key]) => [key, "a b"]));
    answers = [json({ items: [], nextCursor: null })];
    await rest[name]({ ...parameters, ...(method === "POST" && { body: { x: 1 } }) });
    const sent = requests.at(-1);
    assert.equal(sent.url, `https://server${path.replace(/\{\w+\}/g, "a%20b")}`);
    assert.deepEqual([sent.method, sent.headers.Authorization, sent.body], [method, "Bearer T", method === "POST" ? { x: 1 } : undefined]);
    assert.equal("Idempotency-Key" in sent.headers, hasKey, name);
  }
  assert.ok(requests.length > 30);
});

test("parameters that are missing or unknown are the caller's mistake", async () => {
  await assert.rejects(rest.getPool({}), { name: "TypeError", message: "getPool needs protocolId." });
  await assert.rejects(rest.getPool({ protocolId: "P1", colour: "red" }), { message: "getPool has no parameter colour." });
  await assert.rejects(rest.call("getNothing"), { message: "There is no operation getNothing." });
  assert.equal(requests.length, 0);
});

test("a refusal is an ApiError with all that the server says", async () => {
  answers = [problem(422, { code: "VALIDATION_ERROR", requestId: "R1", errors: { amount: ["Too small."] } })];
  const error = await rest.createDeposit({ protocolId: "P1", body: { amount: "0" } }).catch((each) => each);
  assert.ok(error instanceof ApiError);
  const { status, code, detail, requestId, errors, retryAfter } = error;
  assert.deepEqual({ status, code, detail, requestId, errors, retryAfter }, { status: 422, code: "VALIDATION_ERROR", detail: "No.", requestId: "R1", errors: { amount: ["Too small."] }, retryAfter: 0 });
});

test("a change is retried under its key, whatever became of the attempt", async () => {
  answers = [reset, problem(503, {}, { "Retry-After": "0.05" }), problem(409, { code: "IDEMPOTENCY_KEY_IN_USE" }), json({ ok: true }, 201)];
  const began = Date.now();
  assert.deepEqual(await rest.createDeposit({ protocolId: "P1", body: { amount: "1" } }), { ok: true });
  assert.equal(new Set(requests.map(({ headers }) => headers["Idempotency-Key"])).size, 1);
  assert.equal(requests.length, 4);
  assert.ok(Date.now() - began >= 49);
  answers = [json({}, 201)];
  await rest.createDeposit({ protocolId: "P1", body: { amount: "1" } }, { idempotencyKey: "mine" });
  assert.equal(requests.at(-1).headers["Idempotency-Key"], "mine");
});

test("what has no key is retried only if it was certainly not done", async () => {
  answers = [problem(429), json({ id: "P1" }, 201)];
  assert.equal((await rest.createProtocol({ body: { name: "One" } })).id, "P1");
  answers = [problem(503)];
  await assert.rejects(rest.createProtocol({ body: { name: "One" } }), { status: 503 });
  answers = [problem(503), json({ items: [] })];
  await rest.getStats();
});

test("retries end: by their number, by a pause that is too long, and by the caller", async () => {
  answers = Array(6).fill(problem(500));
  await assert.rejects(rest.getStats(), { status: 500 });
  assert.equal(requests.length, 6);
  answers = [problem(503, {}, { "Retry-After": "3600" })];
  await assert.rejects(rest.getStats(), { retryAfter: 3600 });
  const controller = new AbortController();
  answers = [() => (controller.abort(new Error("enough")), reset())];
  await assert.rejects(rest.getStats({}, { signal: controller.signal }), { message: "enough" });
  assert.equal(requests.length, 8);
});

test("a list is one page, or all items", async () => {
  answers = [json({ items: [1], nextCursor: "c" })];
  assert.deepEqual(await rest.listPayments({ protocolId: "P1", status: "FAILED", limit: 1 }), { items: [1], nextCursor: "c" });
  assert.equal(requests[0].url, "https://server/api/v1/protocols/P1/payments?status=FAILED&limit=1");
  answers = [json({ items: [1, 2], nextCursor: "a&b" }), json({ items: [], nextCursor: "c" }), json({ items: [3], nextCursor: null })];
  const seen = [];
  for await (const each of rest.listPayments({ protocolId: "P1" })) seen.push(each);
  assert.deepEqual(seen, [1, 2, 3]);
  assert.deepEqual(requests.slice(1).map(({ url }) => new URL(url).search), ["?limit=200", "?limit=200&cursor=a%26b", "?limit=200&cursor=c"]);
});

test("the response itself, a text, and no body at all can be had", async () => {
  const text = () => new Response("id,amount\n", { headers: { "Content-Type": "text/csv" } });
  answers = [text, text, () => new Response(null, { status: 204 })];
  const response = await rest.request("listPayments", { protocolId: "P1" }, { accept: "text/csv" });
  assert.equal(await response.text(), "id,amount\n");
  assert.equal(requests[0].headers.Accept, "text/csv");
  assert.equal(await rest.prometheus(), "id,amount\n");
  assert.equal(await rest.getStats(), null);
});
