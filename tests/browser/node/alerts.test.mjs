import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Alerts } from "../../../app/dashboard/static/js/alerts.js";

let alerts;
let state;
const titleOf = (id) => state.open.get(id)?.title ?? null;
const check = (at = 0) => alerts.check(state, titleOf, at).map(({ key }) => key);
const file = (id, severity = "CRITICAL", status = "PENDING") => state.open.set(id, { id, title: `Finding ${id}`, severity, status });
const fail = (id, version, status = "FAILED") =>
  state.payments.set(id, { id, version, status, vulnerabilityId: "V9", amount: "5.00", currency: "USDC", failureReason: "no such account" });

beforeEach(() => {
  alerts = new Alerts();
  state = { open: new Map(), payments: new Map() };
});

test("what is there at first is no alert, what comes later is one, once", () => {
  file("V1");
  fail("Y1", "1");
  assert.deepEqual(check(), []);
  file("V2");
  file("V3", "HIGH");
  file("V4", "CRITICAL", "CONFIRMED");
  assert.deepEqual(check(), ["critical V2"]);
  assert.deepEqual(check(), []);
  assert.equal(alerts.unseen.get("critical V2").text, "New critical finding: Finding V2");
});

test("a payment that fails again is an alert again", () => {
  check();
  fail("Y1", "2");
  assert.deepEqual(check(), ["failed Y1 2"]);
  assert.equal(alerts.unseen.get("failed Y1 2").text, "Payment failed: 5.00 USDC for a finding. no such account");
  fail("Y1", "3", "PENDING");
  check();
  fail("Y1", "4");
  assert.deepEqual(check(), ["failed Y1 4"]);
});

test("an alert is unseen until the page was looked at some time after it", () => {
  check();
  file("V1");
  check(10_000);
  assert.equal(alerts.look(11_000), false);
  assert.equal(alerts.unseen.size, 1);
  assert.equal(alerts.look(14_000), true);
  assert.equal(alerts.unseen.size, 0);
});

test("the unseen alerts are bounded", () => {
  check();
  for (let number = 0; number < 500; number += 1) file(`V${number}`);
  assert.equal(check().length, 500);
  assert.equal(alerts.unseen.size, 99);
});
