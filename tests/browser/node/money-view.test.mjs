import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Api, Problem } from "../../../app/dashboard/static/js/api.js";
import { exportCsv } from "../../../app/dashboard/static/js/export.js";
import { isDay, isWithin, months, periodQuery } from "../../../app/dashboard/static/js/period.js";
import { inRange, indexAt, summaryOf, valuesOf } from "../../../app/dashboard/static/js/pool-history.js";
import { ReservedFindings } from "../../../app/dashboard/static/js/reserved-findings.js";
import { FakeApi, QUICK } from "./lists.mjs";
import { until } from "../../../clients/js/test/waiting.mjs";

const DAY = 86_400_000;

test("months are whole months in UTC, also around the end of a year", () => {
  const [now, last, before] = months(Date.parse("2026-01-31T23:59:59Z"), 3);
  assert.deepEqual([now.from, now.to, last.from, last.to, before.key], ["2026-01-01", "2026-01-31", "2025-12-01", "2025-12-31", "2025-11"]);
  assert.deepEqual(months(Date.parse("2028-03-01T00:00:00Z"), 2)[1].to, "2028-02-29");
});

test("both ends of a period belong to it, and are the API's half-open interval", () => {
  const period = { from: "2026-10-01", to: "2026-10-31" };
  assert.deepEqual(periodQuery(period), { from: "2026-10-01", to: "2026-11-01" });
  assert.deepEqual(periodQuery({ from: "", to: "" }), {});
  assert.equal(isWithin(period, "2026-10-31T23:59:59.999Z"), true);
  assert.equal(isWithin(period, "2026-11-01T00:00:00.000Z"), false);
  assert.equal(isWithin(period, "2026-09-30T23:59:59.999Z"), false);
  assert.deepEqual(["2026-02-29", "2028-02-29", "2026-1-1", "", "today"].map(isDay), [false, true, false, false, false]);
});

test("a range of the chart begins with the state that was in force then", () => {
  const point = (at, available) => ({ at, available, reserved: "0.00", paid: "0.00", version: BigInt(at) });
  const points = [point(0, "5.00"), point(DAY, "1234.50"), point(9 * DAY, "7.00")];
  assert.deepEqual(inRange(points, "week", 10 * DAY), [{ ...points[1], at: 3 * DAY }, points[2]]);
  assert.deepEqual(inRange(points, "day", 20 * DAY), [{ ...points[2], at: 19 * DAY }]);
  assert.deepEqual(inRange(points, "month", 10 * DAY), points);
  assert.deepEqual(inRange(points, "all", 1000 * DAY), points);
  assert.deepEqual([-1, 0, DAY - 1, DAY, 99 * DAY].map((time) => indexAt(points, time)), [0, 0, 0, 1, 2]);
  assert.match(valuesOf(points[1], "USDC"), /1,234\.50 USDC available, 0\.00 reserved, 0\.00 paid out/);
  assert.match(summaryOf(points, "USDC"), /from 5\.00 to 7\.00 USDC, lowest 5\.00/);
});

test("the reserved findings add up exactly, and are read again when the pool differs", async () => {
  let reserved = ["0.100000", "0.20", "999999999999.999999"];
  const api = new FakeApi(() => reserved.map((amount, index) => ({ id: `V${index}`, reserved: amount })));
  const found = new ReservedFindings(api, "P", () => {}, QUICK);
  await found.load();
  assert.equal(found.sum, "1000000000000.299999");
  assert.equal(found.items[0].id, "V2");
  found.reconcile(found.sum);
  reserved = ["0.10"];
  found.reconcile("0.10");
  found.reconcile("0.10");
  await until(() => found.sum === "0.10");
  assert.equal(api.asked.length, 2);
  found.close();
});

let answers;
let sent;
let saved;
const realFetch = globalThis.fetch;
const CSV = { "Content-Type": "text/csv; charset=utf-8", "Content-Disposition": 'attachment; filename="P-payments.csv"' };

beforeEach(() => {
  [answers, sent, saved] = [[], [], []];
  globalThis.fetch = async (path, request) => {
    sent.push({ path, ...request });
    return answers.shift();
  };
});
afterEach(() => {
  globalThis.fetch = realFetch;
});

const api = new Api({ subject: "me", token: async () => "T" }, { key: () => "K", forget: () => {} });
const save = (blob, name) => saved.push({ blob, name });
const run = ({ signal = new AbortController().signal, onProgress = () => {} } = {}) =>
  exportCsv((...request) => api.open(...request), "/protocols/P/payments", { onProgress, signal, save });

test("an export is saved whole, under the server's file name", async () => {
  answers = [new Response("id,amount\r\nP1,1.00\r\n", { headers: CSV })];
  let bytes = 0;
  assert.equal(await run({ onProgress: (seen) => (bytes = seen) }), "P-payments.csv");
  assert.equal(await saved[0].blob.text(), "id,amount\r\nP1,1.00\r\n");
  assert.deepEqual([saved[0].name, bytes], ["P-payments.csv", 20]);
  assert.deepEqual([sent[0].headers.Accept, sent[0].headers.Authorization], ["text/csv", "Bearer T"]);
});

test("an export that is refused, breaks off or is stopped saves nothing and says why", async () => {
  const broken = new ReadableStream({
    start: (stream) => stream.enqueue(new TextEncoder().encode("id,amount\r\n")),
    pull: (stream) => stream.error(new TypeError("network error")),
  });
  answers = [new Response(JSON.stringify({ detail: "Too many exports.", code: "TOO_MANY_EXPORTS" }), { status: 429 }), new Response(broken, { headers: CSV }), new Response("{}")];
  await assert.rejects(run(), (problem) => problem instanceof Problem && problem.message === "Too many exports.");
  await assert.rejects(run(), /broke off, and nothing was saved/);
  await assert.rejects(run(), /did not answer with CSV/);
  const stop = new AbortController();
  const endless = new ReadableStream({ pull: (stream) => stream.enqueue(new Uint8Array(10)) });
  answers = [new Response(endless, { headers: CSV })];
  await assert.rejects(run({ signal: stop.signal, onProgress: (bytes) => bytes > 50 && stop.abort() }));
  assert.deepEqual(saved, []);
});

test("what did not change is not sent again", async () => {
  answers = [new Response('{"items": []}', { headers: { ETag: 'W/"a"' } }), new Response(null, { status: 304 })];
  const first = await api.getIfChanged("/overview");
  assert.deepEqual(first, { body: { items: [] }, tag: 'W/"a"' });
  assert.equal(await api.getIfChanged("/overview", first.tag), null);
  assert.deepEqual(sent.map(({ headers }) => headers["If-None-Match"]), [undefined, 'W/"a"']);
});
