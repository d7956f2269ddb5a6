import assert from "node:assert/strict";
import { test } from "node:test";
import { Problem } from "../../../app/dashboard/static/js/api.js";
import { commandsFor } from "../../../app/dashboard/static/js/commands.js";
import { actionsFor } from "../../../app/dashboard/static/js/finding-actions.js";
import { FindingDetail, newest } from "../../../app/dashboard/static/js/finding-detail.js";
import { afterDecision, neighbours, queueOf } from "../../../app/dashboard/static/js/finding-order.js";
import { Findings } from "../../../app/dashboard/static/js/findings.js";
import { OtherPayments } from "../../../app/dashboard/static/js/other-payments.js";
import { FakeApi, QUICK } from "./lists.mjs";
import { until } from "../../../clients/js/test/waiting.mjs";

const finding = (id, more) => ({ id, title: `Finding ${id}`, severity: "HIGH", status: "PENDING", version: "1", createdAt: `2026-11-26T07:00:0${id}.000Z`, paymentId: null, ...more });
const session = (role) => ({ may: (...roles) => role === "admin" || roles.includes(role) });
const held = (...items) => {
  const findings = new Findings(new FakeApi(() => ({})), "P1", () => {}, QUICK);
  findings.add(items);
  return findings;
};
const names = (...args) => actionsFor(...args).map(({ name }) => name);

test("a finding offers what its state and the role permit, and never a second payment", () => {
  const [owner, validator] = [session("owner"), session("validator")];
  const confirmed = finding(1, { status: "CONFIRMED" });
  assert.deepEqual(names(finding(1), null, validator), ["confirm", "reject"]);
  assert.deepEqual(names(finding(1), null, owner), []);
  assert.deepEqual(names(confirmed, null, owner), ["pay"]);
  assert.deepEqual(names({ ...confirmed, paymentId: "Y" }, undefined, owner), [], "its payment is not read yet");
  assert.deepEqual(names({ ...confirmed, paymentId: "Y" }, { status: "FAILED" }, owner), ["retry", "cancelPayment"]);
  assert.deepEqual(names({ ...confirmed, paymentId: "Y" }, { status: "FAILED", mayBePaid: true }, owner), ["retry"]);
  assert.deepEqual(names(confirmed, { status: "CANCELLED" }, owner), ["pay"]);
  assert.deepEqual(names({ ...confirmed, paymentId: "Y" }, { status: "PENDING" }, session("admin")), []);
  assert.deepEqual(names({ ...confirmed, status: "PAID" }, { status: "RELEASED" }, owner), []);
});

test("the queue holds what is pending, the gravest first, of those the oldest", () => {
  const findings = held(finding(1), finding(2, { severity: "LOW" }), finding(3, { severity: "CRITICAL" }), finding(4), finding(5, { status: "CONFIRMED" }));
  assert.deepEqual(queueOf(findings).map(({ id }) => id), [3, 1, 4, 2]);
  const next = afterDecision(findings, 1);
  findings.add([finding(1, { status: "REJECTED", version: "2" }), finding(4, { status: "CONFIRMED", version: "2" })]);
  assert.equal(next(), 2, "the one after it was decided too");
  assert.equal(afterDecision(findings, 2)(), 3, "after the last one, what is left");
  assert.equal(afterDecision(held(finding(1)), 1)(), "");
});

test("a finding that left the list leads to those around its former place", () => {
  const around = (...args) => { const { previous, next } = neighbours(...args); return [previous, next]; };
  assert.deepEqual(around(["a", "b", "c"], "b"), ["a", "c"]);
  assert.deepEqual(around(["a", "c"], "b", 1), ["a", "c"]);
  assert.deepEqual(around(["a"], "b", 5), ["a", undefined]);
  assert.deepEqual(around(["a", "c"], "b"), [undefined, "a"]);
  assert.deepEqual(around([], "b"), [undefined, undefined]);
});

test("a panel reads the finding with its payment and history, by the id of either", async () => {
  const answers = {
    "/vulnerabilities/1": finding(1, { paymentId: "Y", description: "**full**" }),
    "/vulnerabilities/1/history": [{ action: "VULNERABILITY_FILED" }],
    "/payments/Y": { id: "Y", vulnerabilityId: "1", recipient: "0xfull" },
    "/payments/old": { id: "old", vulnerabilityId: "1", status: "CANCELLED" },
  };
  for (const [of, shown] of [[{ id: "1" }, "Y"], [{ paymentId: "old" }, "old"]]) {
    const api = new FakeApi((path) => answers[path]);
    api.failures = [new Problem(503)];
    const detail = new FindingDetail(api, of, () => {}, QUICK);
    detail.load();
    await until(() => detail.finding && !detail.error);
    assert.deepEqual([detail.finding.description, detail.payment.id, detail.history.length], ["**full**", shown, 1]);
    detail.close();
  }
  const missing = new FindingDetail(new FakeApi(() => Promise.reject(new Problem(404))), { id: "none" }, () => {}, QUICK);
  await missing.load();
  assert.deepEqual([missing.error.status, missing.error.isPassing, missing.finding], [404, false, null]);
});

test("what an event does not carry is kept from what was read", () => {
  const read = { id: "Y", version: "2", recipient: "0xfull", status: "FAILED" };
  assert.deepEqual(newest(read, { id: "Y", version: "3", recipient: null, status: "PENDING" }), { ...read, version: "3", status: "PENDING" });
  assert.equal(newest(read, { id: "Y", version: "1" }), read);
  assert.equal(newest(null, undefined), null);
  assert.equal(newest(null, read), read);
});

test("a payment beyond the latest is read once when it is shown, and again after an event", async () => {
  let status = "FAILED";
  const api = new FakeApi((path) => (path.endsWith("gone") ? Promise.reject(new Problem(404)) : { id: path, status }));
  api.failures = [new Problem(503)];
  const payments = new OtherPayments(api, () => {}, QUICK);
  assert.equal(payments.get("Y"), undefined);
  await until(() => payments.get("Y")?.status === "FAILED");
  await until(() => payments.get("gone") === null);
  const asked = api.asked.length;
  for (let times = 0; times < 50; times += 1) payments.get("Y");
  assert.equal(api.asked.length, asked);
  status = "PENDING";
  payments.apply({ eventType: "payment:status_changed", data: { paymentId: "Y" } });
  payments.apply({ eventType: "payment:status_changed", data: { paymentId: "never shown" } });
  await until(() => payments.get("Y").status === "PENDING");
  assert.equal(api.asked.length, asked + 1);
  payments.close();
});

test("the palette offers views, what the open finding permits, and findings", () => {
  const [ran, went] = [[], []];
  const findings = held(finding(1), finding(2, { title: "Oracle stale", severity: "LOW" }));
  const address = { values: { finding: 1 }, go: (changes) => went.push(changes) };
  const dashboard = { findings, address, session: session("validator"), protocols: [{ id: "P1", name: "One" }, { id: "P2", name: "Two" }], room: { protocolId: "P1" }, state: {}, paymentOf: () => null };
  const page = { dashboard, address, actions: { confirm: ({ id }) => ran.push(id) }, views: [["queue", { label: "Queue" }]] };
  const labels = (text) => commandsFor(page, text, [{ group: "Page", label: "Help", run() {} }]).map(({ label }) => label);
  assert.deepEqual(labels(""), ["Confirm", "Reject", "Queue", "Two", "Help"]);
  assert.deepEqual(labels("oracle"), ["Oracle stale"]);
  assert.deepEqual(labels("0192-abcd-none"), ["Open the finding 0192-abcd-none"]);
  assert.deepEqual(labels("deposit"), [], "a validator may not");
  commandsFor(page, "confirm", [])[0].run();
  commandsFor(page, "oracle", [])[0].run();
  assert.deepEqual([ran, went], [[1], [{ finding: 2 }]]);
});

test("the palette offers an admin what the administration does, also without a protocol", () => {
  const went = [];
  const address = { values: {}, go: (changes) => went.push(changes) };
  const offered = (role, text) => {
    const dashboard = { findings: null, session: session(role), protocols: [], room: null, state: null };
    return commandsFor({ dashboard, address, actions: {}, views: [] }, text, []);
  };
  const labels = (role) => offered(role, "").map(({ label }) => label);
  assert.deepEqual(labels("owner"), []);
  assert.deepEqual(labels("admin"), ["Issue a token", "Revoke a token", "Create a protocol", "Create an agent", "Read the audit log"]);
  offered("admin", "agent")[0].run();
  assert.deepEqual(went, [{ view: "admin", section: "agents" }]);
});
