import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Applied, applyEvent, fromSnapshot, isNewer, toSnapshot } from "../src/room/state.js";

const POOL = { protocolId: "P1", currency: "USDC", total: "100.00", available: "60.00", reserved: "40.00", paid: "0.00", version: "3" };
const BODY = {
  protocol: { id: "P1" },
  seq: "7",
  asOf: "2026-01-01T00:00:00.000Z",
  pool: POOL,
  agents: [{ agentId: "A1", name: "Ann", type: "RESEARCHER", task: "scan", progress: "5", status: "RUNNING", version: "10", presence: "OFFLINE", lastSeen: null }],
  agentsTruncated: false,
  vulnerabilities: {
    open: [
      { id: "V1", status: "PENDING", bounty: null, version: "1", updatedAt: "then" },
      { id: "V2", status: "CONFIRMED", bounty: "40.00", version: "2", updatedAt: "then" },
    ],
    counts: { total: "3", byStatus: { PENDING: "1", CONFIRMED: "1", PAID: "0", REJECTED: "1" }, bySeverity: { HIGH: "3" } },
  },
  payments: [{ id: "Y1", status: "PROCESSING", failureReason: "no disk", releasedAt: null }],
};
const AT = "2026-01-02T03:04:05.678Z";
let state;
beforeEach(() => (state = fromSnapshot(structuredClone(BODY))));

const apply = (eventType, data) => applyEvent(state, { eventType, timestamp: AT, protocolId: "P1", seq: "8", data });
const task = (more) => ({ agentId: "A1", task: "scan", progress: "6", status: "RUNNING", estimatedCompletion: null, error: null, nextTask: null, version: "11", ...more });
const change = (changeType, more) => ({ ...POOL, changeType, amount: "1.00", version: "4", ...more });
const moved = (vulnerabilityId, oldStatus, newStatus, version, more) => ({ vulnerabilityId, oldStatus, newStatus, severity: "HIGH", version, changedAt: AT, ...more });
const counts = () => state.counts.byStatus;

test("a snapshot is converted to maps by id and back", () => {
  assert.deepEqual([...state.agents.keys()], ["A1"]);
  assert.deepEqual([...state.open.keys()], ["V1", "V2"]);
  assert.deepEqual([...state.payments.keys()], ["Y1"]);
  assert.equal(state.closed.size, 0);
  assert.deepEqual(toSnapshot(state), BODY);
});

test("a snapshot without lists has empty ones", () => {
  const bare = fromSnapshot({ seq: "1" });
  assert.deepEqual([bare.agents.size, bare.open.size, bare.closed.size, bare.payments.size, bare.counts], [0, 0, 0, 0, {}]);
  assert.deepEqual(toSnapshot(bare).agents, []);
  assert.deepEqual([bare.agentsTruncated, fromSnapshot({ agentsTruncated: true }).agentsTruncated], [false, true]);
});

test("versions are compared as numbers of any length", () => {
  assert.equal(isNewer("10", "9"), true);
  assert.equal(isNewer("9", "10"), false);
  assert.equal(isNewer("10", "10"), false);
  assert.equal(isNewer("9007199254740993", "9007199254740992"), true);
  assert.equal(isNewer("0", undefined), true);
  assert.equal(isNewer("0", null), true);
});

test("a newer agent update replaces its members and keeps the others", () => {
  const before = state.agents.get("A1");
  assert.equal(apply("agent:task_update", task()), Applied.YES);
  const after = state.agents.get("A1");
  assert.deepEqual([after.name, after.progress, after.version, after.presence, after.lastSeen], ["Ann", "6", "11", "ONLINE", AT]);
  assert.equal(before.progress, "5");
});

test("an agent's older or equal update changes nothing", () => {
  for (const version of ["10", "9"]) assert.equal(apply("agent:task_update", task({ version })), Applied.OLD);
  assert.deepEqual(toSnapshot(state), BODY);
});

test("an unknown agent is shown at once and fetched", () => {
  assert.equal(apply("agent:task_update", task({ agentId: "A2" })), Applied.UNKNOWN);
  const { name, type, progress } = state.agents.get("A2");
  assert.deepEqual([name, type, progress], [null, null, "6"]);
});

test("a batch with an unknown agent is unknown, and one is old only if all its updates are", () => {
  const batch = (...updates) => apply("agent:task_updates", { updates });
  assert.equal(batch(task(), task({ agentId: "A2" })), Applied.UNKNOWN);
  assert.equal(batch(task({ version: "12" }), task({ agentId: "A2" })), Applied.YES);
  assert.equal(batch(task({ version: "12" }), task({ agentId: "A2" })), Applied.OLD);
  assert.equal(batch(), Applied.OLD);
});

test("an event of an unknown type is ignored", () => {
  assert.equal(apply("something:else", {}), Applied.OLD);
  assert.deepEqual(toSnapshot(state), BODY);
});

test("a newer pool replaces the totals, an older one changes nothing", () => {
  assert.equal(apply("bounty_pool:updated", change("DEPOSIT", { total: "101.00", available: "61.00" })), Applied.YES);
  assert.deepEqual(state.pool, { ...POOL, total: "101.00", available: "61.00", version: "4" });
  assert.equal(apply("bounty_pool:updated", change("DEPOSIT", { total: "1.00", version: "4" })), Applied.OLD);
  assert.equal(apply("bounty_pool:updated", change("DEPOSIT", { total: "1.00", version: "3" })), Applied.OLD);
  assert.equal(state.pool.total, "101.00");
  state.pool = null;
  assert.equal(apply("bounty_pool:updated", change("DEPOSIT")), Applied.YES);
  assert.equal(state.pool.version, "4");
});

test("a released payment is shown as released, and an unknown one is fetched", () => {
  assert.equal(apply("bounty_pool:updated", change("PAYMENT_RELEASED", { paymentId: "Y1", vulnerabilityId: "V2" })), Applied.YES);
  assert.deepEqual(state.payments.get("Y1"), { id: "Y1", status: "RELEASED", failureReason: null, releasedAt: AT });
  assert.equal(apply("bounty_pool:updated", change("PAYMENT_RELEASED", { paymentId: "Y2", vulnerabilityId: "V2", version: "5" })), Applied.UNKNOWN);
  assert.equal(state.pool.version, "5");
});

test("a reservation becomes the bounty of a pending vulnerability", () => {
  assert.equal(apply("bounty_pool:updated", change("RESERVATION", { vulnerabilityId: "V1", amount: "9.00" })), Applied.YES);
  assert.deepEqual(state.open.get("V1"), { id: "V1", status: "PENDING", bounty: "9.00", version: "1", updatedAt: "then" });
});

test("a reservation for a vulnerability that is not held or is confirmed needs a snapshot", () => {
  assert.equal(apply("bounty_pool:updated", change("RESERVATION", { vulnerabilityId: "V9" })), Applied.UNKNOWN);
  assert.equal(apply("bounty_pool:updated", change("RESERVATION", { vulnerabilityId: "V2", version: "5" })), Applied.UNKNOWN);
  assert.equal(state.open.get("V2").bounty, "40.00");
});

test("a reservation released by a rejection needs no snapshot, one of a confirmed vulnerability does", () => {
  const released = (vulnerabilityId, version) => apply("bounty_pool:updated", change("RESERVATION_RELEASED", { vulnerabilityId, version }));
  assert.equal(released("V1", "4"), Applied.YES);
  assert.equal(released("V9", "5"), Applied.YES);
  assert.equal(released("V2", "6"), Applied.UNKNOWN);
  assert.equal(state.open.get("V1").bounty, null);
});

test("a decision moves the vulnerability and the counts", () => {
  assert.equal(apply("vuln:status_changed", moved("V1", "PENDING", "CONFIRMED", "2")), Applied.YES);
  assert.deepEqual(state.open.get("V1"), { id: "V1", status: "CONFIRMED", bounty: null, version: "2", updatedAt: AT });
  assert.deepEqual(counts(), { PENDING: "0", CONFIRMED: "2", PAID: "0", REJECTED: "1" });
  assert.equal(apply("vuln:status_changed", moved("V1", "CONFIRMED", "PAID", "3")), Applied.YES);
  assert.equal(state.open.has("V1"), false);
  assert.equal(state.closed.get("V1"), "3");
  assert.deepEqual(counts(), { PENDING: "0", CONFIRMED: "1", PAID: "1", REJECTED: "1" });
  assert.equal(state.counts.total, "3");
});

test("a vulnerability that is pending again stays open", () => {
  assert.equal(apply("vuln:status_changed", moved("V2", "CONFIRMED", "PENDING", "3")), Applied.YES);
  assert.equal(state.open.get("V2").status, "PENDING");
});

test("a decision without a time has the time of the event", () => {
  apply("vuln:status_changed", moved("V1", "PENDING", "CONFIRMED", "2", { changedAt: undefined }));
  assert.equal(state.open.get("V1").updatedAt, AT);
  apply("vuln:status_changed", moved("V2", "CONFIRMED", "CONFIRMED", "9", { changedAt: "its own" }));
  assert.equal(state.open.get("V2").updatedAt, "its own");
});

test("an old decision changes nothing, even for a closed vulnerability", () => {
  assert.equal(apply("vuln:status_changed", moved("V1", "PENDING", "REJECTED", "1")), Applied.OLD);
  apply("vuln:status_changed", moved("V1", "PENDING", "REJECTED", "2"));
  const before = { ...counts() };
  assert.equal(apply("vuln:status_changed", moved("V1", "PENDING", "CONFIRMED", "2")), Applied.OLD);
  assert.deepEqual(counts(), before);
  assert.equal(apply("vuln:status_changed", moved("V1", "PENDING", "CONFIRMED", "3")), Applied.UNKNOWN);
  assert.equal(apply("vuln:status_changed", moved("V9", "PENDING", "CONFIRMED", "2")), Applied.UNKNOWN);
  assert.deepEqual(counts(), before);
});

test("counts never fall below zero, and a new one starts at one", () => {
  state.counts = { byStatus: { PENDING: "0" } };
  apply("vuln:status_changed", moved("V1", "PENDING", "CONFIRMED", "2"));
  assert.deepEqual(counts(), { PENDING: "0", CONFIRMED: "1" });
  state.counts = {};
  apply("vuln:status_changed", moved("V1", "CONFIRMED", "PAID", "3"));
  assert.deepEqual(counts(), { CONFIRMED: "0", PAID: "1" });
});

test("a changed item is a new object, so that views notice it", () => {
  const { pool, counts: before } = state;
  const [agent, found] = [state.agents.get("A1"), state.open.get("V1")];
  apply("agent:task_update", task());
  apply("bounty_pool:updated", change("DEPOSIT"));
  apply("vuln:status_changed", moved("V1", "PENDING", "CONFIRMED", "2"));
  assert.notEqual(state.agents.get("A1"), agent);
  assert.notEqual(state.pool, pool);
  assert.notEqual(state.counts, before);
  assert.notEqual(state.open.get("V1"), found);
  assert.equal(found.status, "PENDING");
});

const LATER = "2026-01-01T00:00:01.000Z";
const filing = (more) => ({ vulnerabilityId: "V3", title: "Bent", severity: "LOW", status: "PENDING", bounty: null, agentId: "A1", version: "1", createdAt: LATER, ...more });
const FILED = { id: "V3", protocolId: "P1", title: "Bent", severity: "LOW", status: "PENDING", bounty: null, agentId: "A1", rejectionReason: null, paymentId: null, version: "1", createdAt: LATER, updatedAt: LATER };

test("a filing is open and counted, once", () => {
  assert.equal(apply("vuln:discovered", filing()), Applied.YES);
  assert.deepEqual(state.open.get("V3"), FILED);
  assert.equal(apply("vuln:discovered", filing({ title: "Other" })), Applied.OLD);
  assert.equal(state.open.get("V3").title, "Bent");
  assert.deepEqual([state.counts.total, counts().PENDING, state.counts.bySeverity], ["4", "2", { HIGH: "3", LOW: "1" }]);
  assert.equal(apply("bounty_pool:updated", change("RESERVATION", { vulnerabilityId: "V3", amount: "9.00" })), Applied.YES);
  assert.equal(state.open.get("V3").bounty, "9.00");
});

test("a filing that was decided meanwhile does not return, and one from before the snapshot is fetched", () => {
  apply("vuln:discovered", filing());
  apply("vuln:status_changed", moved("V3", "PENDING", "REJECTED", "2"));
  assert.equal(apply("vuln:discovered", filing()), Applied.OLD);
  assert.equal(apply("vuln:discovered", filing({ vulnerabilityId: "V4", createdAt: "2025-12-31T23:59:59.999Z" })), Applied.UNKNOWN);
  assert.deepEqual([state.open.has("V3"), state.open.has("V4"), state.counts.total], [false, false, "4"]);
});

test("counts begin with the first filing", () => {
  state.counts = {};
  apply("vuln:discovered", filing());
  assert.deepEqual(state.counts, { total: "1", byStatus: { PENDING: "1" }, bySeverity: { LOW: "1" } });
});

const payment = (oldStatus, newStatus, version, more) => ({
  paymentId: "Y1", vulnerabilityId: "V2", oldStatus, newStatus, amount: "40.00", currency: "USDC", failureReason: null, attempts: "1", version, changedAt: AT, ...more,
});

test("a payment follows its newest version", () => {
  assert.equal(apply("payment:status_changed", payment("PROCESSING", "FAILED", "2", { failureReason: "no such account", attempts: "3" })), Applied.YES);
  const { status, failureReason, attempts, version, releasedAt } = state.payments.get("Y1");
  assert.deepEqual([status, failureReason, attempts, version, releasedAt], ["FAILED", "no such account", "3", "2", null]);
  for (const old of ["1", "2"]) assert.equal(apply("payment:status_changed", payment(null, "PENDING", old)), Applied.OLD);
  assert.equal(apply("payment:status_changed", payment("PROCESSING", "RELEASED", "3")), Applied.YES);
  assert.deepEqual([state.payments.get("Y1").releasedAt, state.payments.get("Y1").failureReason], [AT, null]);
});

test("an unknown payment is shown at once and fetched, and is that of its vulnerability until it is cancelled", () => {
  const paymentId = "Y2";
  assert.equal(apply("payment:status_changed", payment(null, "PENDING", "1", { paymentId })), Applied.UNKNOWN);
  const { recipient, status, createdAt, protocolId, lastError } = state.payments.get("Y2");
  assert.deepEqual([recipient, status, createdAt, protocolId, lastError], [null, "PENDING", AT, "P1", null]);
  assert.equal(state.open.get("V2").paymentId, "Y2");
  apply("payment:status_changed", payment("FAILED", "CANCELLED", "9"));
  assert.equal(state.open.get("V2").paymentId, "Y2");
  apply("payment:status_changed", payment("FAILED", "CANCELLED", "2", { paymentId }));
  assert.equal(state.open.get("V2").paymentId, null);
  assert.equal(apply("payment:status_changed", payment(null, "FAILED", "10", { vulnerabilityId: "V9" })), Applied.YES);
  assert.equal(state.open.has("V9"), false);
});

test("a payment of a snapshot without versions follows the first event", () => {
  assert.equal(apply("payment:status_changed", payment("PROCESSING", "FAILED", "1")), Applied.YES);
});
