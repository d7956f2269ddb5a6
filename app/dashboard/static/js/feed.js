import { withCurrency } from "./money.js";

const MAX_ITEMS = { other: 200, progress: 40 };
const MAX_SEEDED = 30; // of each kind

/**
 * The list of past events, newest first. Progress of one task is one item that is replaced, with a separate limit, so that
 * hundreds of busy agents do not displace other items.
 * Most events carry only ids; names (`agentId`, `findingId`) are looked up when they are displayed.
 */
export class Feed {
  #other = new Map();
  #progress = new Map();
  #items = null;

  get items() {
    this.#items ??= [...this.#other.values(), ...this.#progress.values()].sort((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0));
    return this.#items;
  }

  apply(event) {
    const describe = DESCRIBE[event.eventType];
    const datas = event.data.updates ?? [event.data];
    for (const data of datas) {
      const item = describe?.(data);
      if (item) this.#add({ at: event.timestamp, ...item });
    }
  }

  /** Add the newest of what is stored, so that the feed is neither empty at first nor incomplete after a lost connection. */
  seed({ entries, findings, state }) {
    newest(entries, "createdAt").forEach((entry) => this.#add({ at: entry.createdAt, ...describePool({ currency: state.pool?.currency, ...entry }) }));
    for (const found of newest(findings, "updatedAt")) {
      this.#add({ at: found.createdAt, ...describeFiling({ vulnerabilityId: found.id, ...found }) });
      if (found.status !== "PENDING") this.#add({ at: found.updatedAt, ...describeStatus({ vulnerabilityId: found.id, newStatus: found.status, ...found }) });
    }
    for (const payment of state.payments.values()) {
      if (payment.status === "FAILED") this.#add({ at: payment.createdAt, ...describePayment({ paymentId: payment.id, newStatus: "FAILED", ...payment }) });
    }
    for (const agent of state.agents.values()) if (agent.status === "FAILED" && agent.lastSeen) this.#add({ at: agent.lastSeen, ...describeTask(agent) });
  }

  #add(item) {
    const [kept, max] = item.isProgress ? [this.#progress, MAX_ITEMS.progress] : [this.#other, MAX_ITEMS.other];
    if (kept.has(item.key) && !item.isProgress) return;
    kept.delete(item.key);
    kept.set(item.key, item);
    if (kept.size > max) kept.delete(oldest(kept).key);
    this.#items = null;
  }
}

const newest = (all, time) => all.toSorted((a, b) => (a[time] < b[time] ? 1 : -1)).slice(0, MAX_SEEDED);
const oldest = (kept) => [...kept.values()].reduce((first, each) => (each.at < first.at ? each : first));

const DESCRIBE = {
  "agent:task_update": describeTask,
  "agent:task_updates": describeTask,
  "bounty_pool:updated": describePool,
  "payment:status_changed": describePayment,
  "vuln:discovered": describeFiling,
  "vuln:status_changed": describeStatus,
};

function describeTask(data) {
  const key = `task ${data.agentId} ${data.task}`;
  if (data.status === "RUNNING") {
    return { key, isProgress: true, kind: "agents", tone: "quiet", agentId: data.agentId, text: `${data.task}: ${data.progress} %` };
  }
  if (data.status === "IDLE") {
    return { key, isProgress: true, kind: "agents", tone: "quiet", agentId: data.agentId, text: `left ${data.task} for another protocol` };
  }
  const isDone = data.status === "COMPLETED";
  const text = isDone ? `finished ${data.task}` : `failed at ${data.task}: ${data.error?.message || "no reason given"}`;
  const more = isDone && data.nextTask ? `, now ${data.nextTask}` : "";
  return { key: `${key} ${data.version}`, kind: "agents", isKey: true, tone: isDone ? "good" : "bad", agentId: data.agentId, text: text + more };
}

const POOL_WORDS = {
  DEPOSIT: ["Deposit", "good"],
  RESERVATION: ["Reserved", "held"],
  RESERVATION_RELEASED: ["Reservation released", "quiet"],
  PAYMENT_RELEASED: ["Paid out", "paid"],
};

function describePool(data) {
  const [title, tone] = POOL_WORDS[data.changeType] ?? [data.changeType, "quiet"];
  const text = [withCurrency(data.amount, data.currency), data.reference].filter(Boolean).join(" · ");
  const key = `pool ${data.version}`;
  return { key, kind: "money", isKey: true, tone, title, text, findingId: data.vulnerabilityId };
}

const PAYMENT_WORDS = {
  PENDING: ["Payment requested", "quiet"],
  FAILED: ["Payment failed", "bad"],
  CANCELLED: ["Payment cancelled", "quiet"],
};

/** A released payment is told by the pool's change. */
function describePayment({ paymentId, vulnerabilityId, oldStatus, newStatus, amount, currency, failureReason, version }) {
  if (!PAYMENT_WORDS[newStatus]) return null;
  const [words, tone] = PAYMENT_WORDS[newStatus];
  const title = newStatus === "PENDING" && oldStatus === "FAILED" ? "Payment retried" : words;
  const text = [withCurrency(amount, currency), newStatus === "FAILED" && failureReason].filter(Boolean).join(" · ");
  return { key: `payment ${paymentId} ${version}`, kind: "money", isKey: true, tone, title, text, findingId: vulnerabilityId };
}

function describeFiling({ vulnerabilityId, severity, title, agentId }) {
  const tone = severity === "CRITICAL" ? "bad" : "quiet";
  return { key: `filed ${vulnerabilityId}`, kind: "findings", isKey: true, tone, severity, title: "filed", text: "", findingId: vulnerabilityId, findingTitle: title, byId: agentId };
}

const STATUS_TONES = { CONFIRMED: "held", PAID: "paid", REJECTED: "quiet" };

function describeStatus({ vulnerabilityId, newStatus, severity, rejectionReason }) {
  const tone = STATUS_TONES[newStatus] ?? "quiet";
  const key = `finding ${vulnerabilityId} ${newStatus}`;
  return { key, kind: "findings", isKey: true, tone, severity, title: newStatus.toLowerCase(), text: rejectionReason ?? "", findingId: vulnerabilityId };
}
