import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Problem } from "../../../app/dashboard/static/js/api.js";
import { Ledger } from "../../../app/dashboard/static/js/ledger.js";
import { FakeApi, QUICK } from "./lists.mjs";
import { pause, until } from "../../../clients/js/test/waiting.mjs";

let version;
let api;
let ledger;

const change = (each) => ({ available: `${each}.00`, reserved: "0.00", paid: "0.00", version: String(each), createdAt: `2026-01-01T00:00:${String(each).padStart(2, "0")}.000Z` });
const entries = () => Array.from({ length: version }, (_, index) => change(version - index));
const told = (each) => ({ eventType: "bounty_pool:updated", timestamp: change(each).createdAt, data: change(each) });
const reconcile = () => ledger.reconcile({ pool: change(version) });
const versions = () => ledger.points.map((point) => Number(point.version));
const upTo = (most) => Array.from({ length: most }, (_, index) => index + 1);

beforeEach(() => {
  version = 6;
  api = new FakeApi(entries);
  ledger = new Ledger(api, "P1", () => {}, QUICK);
});
afterEach(() => ledger.close());

test("an event before the history is loaded does not replace loading it", async () => {
  version = 7;
  ledger.apply(told(7));
  reconcile();
  await until(() => ledger.points.length === 7);
  assert.deepEqual(versions(), upTo(7));
});

test("a gap between two events is noticed at the next snapshot", async () => {
  reconcile();
  await until(() => ledger.points.length === 6);
  version = 9;
  ledger.apply(told(9));
  reconcile();
  await until(() => ledger.points.length === 9);
  assert.deepEqual(versions(), upTo(9));
});

test("without a gap between events the history is not loaded again", async () => {
  reconcile();
  await until(() => ledger.points.length === 6);
  for (version = 7; version < 10; version += 1) ledger.apply(told(version));
  version = 9;
  reconcile();
  await pause(20);
  assert.equal(api.asked.length, 1);
});

test("a history that failed to load is loaded again", async () => {
  api.failures = [new Problem(503, { detail: "The database did not answer." })];
  await ledger.load();
  assert.notEqual(ledger.error, null);
  await until(() => ledger.points.length === 6);
  assert.equal(ledger.error, null);
});
