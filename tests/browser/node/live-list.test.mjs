import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Problem } from "../../../app/dashboard/static/js/api.js";
import { PaymentRecords, LedgerRecords } from "../../../app/dashboard/static/js/money-records.js";
import { FakeApi, QUICK } from "./lists.mjs";
import { pause, until } from "../../../clients/js/test/waiting.mjs";

const PAGE = 100;

let stored;
let api;
let records;

const id = (number) => `P${String(number).padStart(5, "0")}`;
const payment = (number, fields = {}) => ({ id: id(number), status: "RELEASED", version: "1", createdAt: "2026-10-05T10:00:00.000Z", ...fields });
const numbers = () => records.items.map((each) => Number(each.id.slice(1)));
const upTo = (most) => Array.from({ length: most }, (_, index) => most - index);
const change = (number, fields) => stored.set(id(number), { ...stored.get(id(number)), ...fields });
const event = (number, newStatus) => ({ eventType: "payment:status_changed", timestamp: "2026-10-06T10:00:00.000Z", data: { paymentId: id(number), newStatus } });
const state = (...payments) => ({ payments: new Map(payments.map((each) => [each.id, each])) });

/** The server: filtered by status, newest first, in pages. */
function answer(path) {
  const [place, query] = path.split("?");
  if (place.startsWith("/payments/")) return stored.get(place.split("/").at(-1));
  const { status, cursor } = Object.fromEntries(new URLSearchParams(query));
  const all = [...stored.values()].filter((each) => !status || each.status === status).sort((a, b) => (a.id > b.id ? -1 : 1));
  const rest = all.filter((each) => !cursor || each.id < cursor);
  return { items: rest.slice(0, PAGE), nextCursor: rest.length > PAGE ? rest[PAGE - 1].id : null };
}

const open = async (filter = {}) => {
  records?.close();
  records = new PaymentRecords(api, "P", { status: "ALL", from: "", to: "", ...filter }, () => {}, QUICK);
  records.load();
  await until(() => records.isLoaded);
};

beforeEach(() => {
  stored = new Map(upTo(250).map((number) => [id(number), payment(number)]));
  api = new FakeApi(answer);
});
afterEach(() => records.close());

test("failed payments come first, however old they are", async () => {
  change(3, { status: "FAILED" });
  await open();
  assert.deepEqual(numbers().slice(0, 3), [3, 250, 249]);
});

test("older pages are read on demand, each once", async () => {
  await open();
  assert.equal(records.items.length, PAGE);
  for (let pages = 2; pages <= 3; pages += 1) {
    records.more();
    records.more();
    await until(() => records.items.length === Math.min(250, pages * PAGE));
  }
  records.more();
  assert.deepEqual(numbers(), upTo(250));
  assert.equal(api.asked.filter((path) => path.includes("cursor")).length, 2);
});

test("a change is taken over in its place, and a new payment is added", async () => {
  change(200, { status: "PENDING" });
  await open();
  change(200, { status: "RELEASED", version: "2", reference: "TX" });
  records.apply(event(200, "RELEASED"));
  stored.set(id(251), payment(251, { status: "PENDING" }));
  records.apply(event(251, "PENDING"));
  await until(() => records.get(id(200)).reference === "TX" && records.get(id(251)));
  assert.deepEqual(numbers(), upTo(251).slice(0, PAGE + 1));
});

test("a payment leaves a filtered list when its status changes, but can still be looked at", async () => {
  change(7, { status: "FAILED" });
  change(9, { status: "FAILED" });
  await open({ status: "FAILED" });
  change(9, { status: "PENDING", version: "2" });
  records.apply(event(9, "PENDING"));
  await until(() => records.items.length === 1);
  assert.deepEqual([numbers(), records.get(id(9)).status], [[7], "PENDING"]);
  change(5, { status: "FAILED", version: "2" });
  records.apply(event(5, "FAILED"));
  await until(() => records.items.length === 2);
  assert.deepEqual(numbers(), [7, 5]);
});

test("after a snapshot, what changed without an event is read again", async () => {
  change(249, { status: "PROCESSING" });
  change(160, { status: "PROCESSING" });
  await open();
  change(160, { status: "RELEASED", version: "2" });
  change(249, { status: "FAILED", version: "2" });
  stored.set(id(251), payment(251));
  records.reconcile(state(stored.get(id(249)), stored.get(id(251))));
  await until(() => numbers()[0] === 249 && numbers()[1] === 251 && records.get(id(160)).status === "RELEASED");
  const { length } = api.asked;
  records.reconcile(state(stored.get(id(249)), stored.get(id(251))));
  await pause(20);
  assert.equal(api.asked.length, length, "nothing changed, so nothing is asked");
});

test("a failed read is repeated without losing what was wanted", async () => {
  await open();
  change(240, { version: "2", reference: "TX" });
  const refusal = () => new Problem(503, { detail: "The database did not answer." });
  api.failures = Array.from({ length: 1000 }, refusal);
  records.apply(event(240, "RELEASED"));
  records.more();
  await until(() => records.error);
  api.failures = [];
  await until(() => records.get(id(240)).reference === "TX" && records.items.length === 2 * PAGE);
  assert.equal(records.error, null);
});

test("many changes at once are one read of the list, and a long gap begins it anew", async () => {
  await open();
  upTo(20).forEach((number) => change(150 + number, { version: "2", reference: "TX" }));
  upTo(20).forEach((number) => records.apply(event(150 + number, "RELEASED")));
  await until(() => records.items.filter((each) => each.reference).length === 20);
  assert.ok(api.asked.filter((path) => path.startsWith("/payments/")).length <= 9);
  upTo(500).forEach((number) => stored.set(id(250 + number), payment(250 + number)));
  records.load();
  await until(() => numbers()[0] === 750);
  assert.deepEqual(numbers(), upTo(750).slice(0, records.items.length), "without a gap");
});

test("the period is part of the question, with its end as an exclusive day", async () => {
  await open({ status: "FAILED", from: "2026-10-01", to: "2026-10-31" });
  assert.ok(api.asked.at(-1).startsWith("/protocols/P/payments?status=FAILED&from=2026-10-01&to=2026-11-01&limit="));
});

test("the ledger is read again when the pool changed, and not for changes of another kind", async () => {
  const entries = () => ({ items: upTo(api.newest).map((version) => ({ id: `E${version}`, version: String(version), createdAt: "2026-10-05T10:00:00.000Z" })), nextCursor: null });
  api = new FakeApi(entries);
  api.newest = 9;
  records = new LedgerRecords(api, "P", { changeType: "DEPOSIT", from: "", to: "" }, () => {}, QUICK);
  records.load();
  records.reconcile({ pool: { version: "9" } });
  await until(() => records.items.length === 9);
  records.apply({ eventType: "bounty_pool:updated", data: { changeType: "RESERVATION" } });
  records.reconcile({ pool: { version: "9" } });
  await pause(450);
  assert.equal(api.asked.length, 1);
  api.newest = 11;
  records.apply({ eventType: "bounty_pool:updated", data: { changeType: "DEPOSIT" } });
  await until(() => records.items.length === 11);
  api.newest = 12;
  records.reconcile({ pool: { version: "12" } });
  await until(() => records.items.length === 12);
  assert.deepEqual(records.items.slice(0, 2).map(({ version }) => version), ["12", "11"]);
});
