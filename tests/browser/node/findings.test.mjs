import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Problem } from "../../../app/dashboard/static/js/api.js";
import { Findings } from "../../../app/dashboard/static/js/findings.js";
import { FakeApi, QUICK } from "./lists.mjs";
import { pause, until } from "../../../clients/js/test/waiting.mjs";

const DOWN = new Problem(503, { detail: "The database did not answer." });
let held;
let api;
let findings;

beforeEach(() => {
  held = new Map();
  api = new FakeApi((path) => (path.startsWith("/vulnerabilities/") ? held.get(path.split("/")[2]) : [...held.values()]));
  findings = new Findings(api, "P1", () => {}, QUICK);
});
afterEach(() => findings.close());

const file = (id, more = {}) => held.set(id, { id, title: id, severity: "HIGH", status: "PENDING", bounty: null, version: "1", createdAt: id, ...more });
const moved = (id, newStatus, version) => ({ eventType: "vuln:status_changed", data: { vulnerabilityId: id, newStatus, version, changedAt: "now" } });

test("a failed first read is retried until it succeeds, which clears the error", async () => {
  file("V1");
  api.failures = [DOWN, new Problem(0, { detail: "The server could not be reached." })];
  await findings.load();
  assert.equal(findings.error.message, "The database did not answer. Trying again.");
  await until(() => findings.isLoaded);
  assert.equal(findings.error, null);
  assert.equal(findings.byId.size, 1);
});

test("a failed later read is retried, too", async () => {
  await findings.load();
  api.failures = [DOWN];
  await findings.load();
  assert.notEqual(findings.error, null);
  await until(() => findings.error === null);
});

test("a permanent rejection is not retried", async () => {
  api.failures = [new Problem(404, { detail: "There is no such protocol." })];
  await findings.load();
  await pause(30);
  assert.equal(api.asked.length, 1);
  assert.equal(findings.error.message, "There is no such protocol.");
});

test("nothing is read after the list was closed", async () => {
  api.failures = Array(50).fill(DOWN);
  await findings.load();
  findings.close();
  const before = api.asked.length;
  await pause(30);
  assert.equal(api.asked.length, before);
});

test("a slow response never replaces a newer version", async () => {
  file("V1", { version: "2", status: "CONFIRMED", bounty: "5.00" });
  await findings.load();
  let answer;
  api.answer = () => new Promise((done) => (answer = done));
  findings.apply({ eventType: "bounty_pool:updated", data: { vulnerabilityId: "V1" } });
  await until(() => answer);
  findings.apply(moved("V1", "PAID", "3"));
  answer({ ...held.get("V1") });
  await pause(20);
  assert.deepEqual([findings.byId.get("V1").status, findings.byId.get("V1").version], ["PAID", "3"]);
});

test("members that an event lacks are filled in from a response of the same version", async () => {
  file("V1");
  await findings.load();
  file("V1", { version: "2", status: "CONFIRMED", bounty: "5.00" });
  findings.apply(moved("V1", "CONFIRMED", "2"));
  findings.apply({ eventType: "bounty_pool:updated", data: { vulnerabilityId: "V1" } });
  await until(() => findings.byId.get("V1").bounty === "5.00");
});

test("a failed look-up is retried", async () => {
  file("V1");
  api.failures = [DOWN];
  findings.apply(moved("V1", "CONFIRMED", "2"));
  await until(() => findings.byId.has("V1"));
});

test("the counts are those of the snapshot, even if not all rows are held", async () => {
  file("V1");
  await findings.load();
  findings.counts = { total: "6002", byStatus: { PENDING: "6000", CONFIRMED: "2", PAID: "0", REJECTED: "0" } };
  assert.deepEqual(findings.tally(), { PENDING: 6000, CONFIRMED: 2, PAID: 0, REJECTED: 0 });
  assert.equal(findings.total, 6002);
});

test("bounties are ordered exactly, even where floats are equal", async () => {
  file("small", { bounty: "999999999998.999998" });
  file("large", { bounty: "999999999998.999999" });
  file("none");
  await findings.load();
  const rows = (descending) => findings.rows({ status: "ALL", severity: "ALL", text: "", sort: { by: "bounty", descending } });
  assert.deepEqual(rows(true).map(({ id }) => id), ["large", "small", "none"]);
  assert.deepEqual(rows(false).map(({ id }) => id), ["none", "small", "large"]);
});

const event = (eventType, data) => findings.apply({ eventType, data });
const filing = (more) => ({ vulnerabilityId: "V1", title: "Bent", severity: "CRITICAL", status: "PENDING", bounty: null, agentId: null, version: "1", createdAt: "now", ...more });
const payment = (oldStatus, newStatus) => ({ paymentId: "Y1", vulnerabilityId: "V1", oldStatus, newStatus, version: "1" });

test("a filing and its reservation are shown from their events, without a request", async () => {
  event("vuln:discovered", filing());
  event("bounty_pool:updated", { vulnerabilityId: "V1", changeType: "RESERVATION", amount: "5.00" });
  await pause(200);
  const { title, status, bounty, createdAt } = findings.byId.get("V1");
  assert.deepEqual([title, status, bounty, createdAt], ["Bent", "PENDING", "5.00", "now"]);
  assert.deepEqual(api.asked, []);
});

test("a repeated filing does not replace what is held", () => {
  event("vuln:discovered", filing());
  findings.apply(moved("V1", "CONFIRMED", "2"));
  event("vuln:discovered", filing());
  assert.equal(findings.byId.get("V1").status, "CONFIRMED");
});

test("a payment is that of its finding until it is cancelled, whose finding is read again", async () => {
  file("V1", { version: "2", status: "CONFIRMED" });
  await findings.load();
  event("payment:status_changed", payment(null, "PENDING"));
  assert.equal(findings.byId.get("V1").paymentId, "Y1");
  event("payment:status_changed", { ...payment("FAILED", "CANCELLED"), paymentId: "Y0" });
  assert.equal(findings.byId.get("V1").paymentId, "Y1");
  event("payment:status_changed", payment("FAILED", "CANCELLED"));
  assert.equal(findings.byId.get("V1").paymentId, null);
  file("V1", { version: "4", status: "CONFIRMED", title: "Read again" });
  await until(() => findings.byId.get("V1").title === "Read again");
});

test("findings whose payment failed can be listed alone", async () => {
  file("V1", { paymentId: "Y1" });
  file("V2");
  await findings.load();
  const filter = { status: "FAILED", severity: "ALL", text: "", sort: { by: "date", descending: true } };
  assert.deepEqual(findings.rows({ ...filter, hasFailed: ({ paymentId }) => paymentId === "Y1" }).map(({ id }) => id), ["V1"]);
});
