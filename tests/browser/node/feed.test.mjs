import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Feed } from "../../../app/dashboard/static/js/feed.js";

let feed;
const at = (second) => new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString();
const told = (eventType, second, data) => feed.apply({ eventType, timestamp: at(second), data });
const titles = () => feed.items.map(({ title, text }) => [title, text].filter(Boolean).join(": "));

beforeEach(() => (feed = new Feed()));

test("filings and the changes of payments are told, besides a release, which the pool tells", () => {
  told("vuln:discovered", 1, { vulnerabilityId: "V1", severity: "CRITICAL", title: "Bent", agentId: "A1" });
  const payment = { paymentId: "Y1", vulnerabilityId: "V1", amount: "5.00", currency: "USDC", failureReason: null };
  told("payment:status_changed", 2, { ...payment, oldStatus: null, newStatus: "PENDING", version: "1" });
  told("payment:status_changed", 3, { ...payment, oldStatus: "PROCESSING", newStatus: "FAILED", failureReason: "no such account", version: "2" });
  told("payment:status_changed", 4, { ...payment, oldStatus: "FAILED", newStatus: "PENDING", version: "3" });
  told("payment:status_changed", 5, { ...payment, oldStatus: "PROCESSING", newStatus: "RELEASED", version: "4" });
  told("payment:status_changed", 6, { ...payment, oldStatus: "FAILED", newStatus: "CANCELLED", version: "5" });
  assert.deepEqual(titles(), ["Payment cancelled: 5.00 USDC", "Payment retried: 5.00 USDC", "Payment failed: 5.00 USDC · no such account", "Payment requested: 5.00 USDC", "filed"]);
  assert.deepEqual([feed.items.at(-1).findingTitle, feed.items.at(-1).tone], ["Bent", "bad"]);
});

const stored = {
  entries: [{ changeType: "DEPOSIT", amount: "9.00", version: "1", createdAt: at(1) }],
  findings: [{ id: "V1", severity: "LOW", status: "REJECTED", rejectionReason: "known", title: "Bent", agentId: null, createdAt: at(2), updatedAt: at(5) }],
  state: {
    pool: { currency: "USDC" },
    payments: new Map([["Y1", { id: "Y1", status: "FAILED", vulnerabilityId: "V2", amount: "5.00", currency: "USDC", failureReason: "closed", version: "2", createdAt: at(3) }]]),
    agents: new Map([["A1", { agentId: "A1", status: "FAILED", task: "scan", error: { message: "out of gas" }, version: "7", lastSeen: at(4) }]]),
  },
};

test("the feed begins with what is stored, and tells nothing twice", () => {
  told("vuln:status_changed", 5, { vulnerabilityId: "V1", severity: "LOW", newStatus: "REJECTED", rejectionReason: "known", version: "2" });
  feed.seed(stored);
  feed.seed(stored);
  assert.deepEqual(titles(), ["rejected: known", "failed at scan: out of gas", "Payment failed: 5.00 USDC · closed", "filed", "Deposit: 9.00 USDC"]);
});

test("the oldest items go first, however late they were added", () => {
  for (let second = 100; second < 400; second += 1) told("bounty_pool:updated", second, { changeType: "DEPOSIT", amount: "1.00", currency: "USDC", version: String(second) });
  feed.seed(stored);
  assert.equal(feed.items.length, 200);
  assert.equal(feed.items.at(-1).at, at(200));
});
