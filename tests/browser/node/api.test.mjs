import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Api } from "../../../app/dashboard/static/js/api.js";
import { Intentions } from "../../../app/dashboard/static/js/intentions.js";

let keys;
let answers;
let storage;
const realFetch = globalThis.fetch;
const realNow = Date.now;

const answer = (status, body = {}, headers = {}) => () => new Response(JSON.stringify(body), { status, headers });
const lost = () => Promise.reject(new TypeError("fetch failed"));
const api = (subject = "me") => new Api({ subject, token: async () => "T" }, new Intentions(storage));
const post = (client, body = { amount: "50" }) => client.post("/protocols/P1/deposits", body).catch((problem) => problem);

beforeEach(() => {
  keys = [];
  answers = [];
  const texts = new Map();
  storage = { getItem: (name) => texts.get(name) ?? null, setItem: (name, text) => texts.set(name, text), removeItem: (name) => texts.delete(name) };
  globalThis.fetch = async (_, { headers }) => {
    keys.push(headers["Idempotency-Key"]);
    return answers.shift()();
  };
});
afterEach(() => {
  globalThis.fetch = realFetch;
  Date.now = realNow;
});

test("a request without a response is retried with the same key, also after a reload", async () => {
  answers = [lost, answer(503), answer(201, {}, { "Idempotent-Replayed": "true" })];
  await post(api());
  await post(api());
  const last = await post(api());
  assert.equal(new Set(keys).size, 1);
  assert.equal(last.isReplay, true);
});

test("after a definite response the same action gets a new key", async () => {
  answers = [answer(201), answer(409), answer(201)];
  for (let times = 0; times < 3; times += 1) await post(api());
  assert.equal(new Set(keys).size, 3);
  assert.equal(storage.getItem("dashboard.intentions"), null);
});

test("other fields or another user get a new key", async () => {
  answers = [lost, lost, lost];
  await post(api());
  await post(api(), { amount: "51" });
  await post(api("somebody else"));
  assert.equal(new Set(keys).size, 3);
});

test("a key that the server is still processing is kept", async () => {
  answers = [answer(409, { code: "IDEMPOTENCY_KEY_IN_USE" }), answer(201)];
  await post(api());
  await post(api());
  assert.equal(new Set(keys).size, 1);
});

test("old keys are forgotten, and at most twenty are kept", async () => {
  answers = Array(25).fill(lost);
  for (let amount = 1; amount < 25; amount += 1) await post(api(), { amount: String(amount) });
  assert.equal(JSON.parse(storage.getItem("dashboard.intentions")).length, 20);
  Date.now = () => realNow() + 3_600_001;
  await post(api(), { amount: "24" });
  assert.equal(new Set(keys).size, 25);
});

test("a lost response is reported, and a lost read says that nothing changed", async () => {
  answers = [lost, lost, () => new Response("<html>", { status: 200 })];
  const read = await api().get("/protocols").catch((problem) => problem);
  assert.equal(read.message, "The server could not be reached.");
  assert.match((await post(api())).message, /may have been done, or not/);
  assert.equal((await post(api(), {})).status, 0);
});
