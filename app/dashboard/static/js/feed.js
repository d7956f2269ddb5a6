import { withCurrency } from "./money.js";

const MAX_ITEMS = { other: 200, progress: 40 };

/**
 * The list of past events, newest first. Progress of one task is one item that is replaced, with a separate limit, so that
 * hundreds of busy agents do not displace other items.
 * Events carry only ids; names (`agentId`, `findingId`) are looked up when they are displayed.
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
    if (describe) datas.forEach((data) => this.#add({ at: event.timestamp, ...describe(data) }));
  }

  /** Add the ledger's newest entries, so that the feed is neither empty at first nor incomplete after a lost connection. */
  seed(entries, currency) {
    entries.slice(0, 12).forEach((entry) => this.#add({ at: entry.createdAt, ...describePool({ currency, ...entry }) }));
  }

  #add(item) {
    const [kept, max] = item.isProgress ? [this.#progress, MAX_ITEMS.progress] : [this.#other, MAX_ITEMS.other];
    if (kept.has(item.key) && !item.isProgress) return;
    kept.delete(item.key);
    kept.set(item.key, item);
    if (kept.size > max) kept.delete(kept.keys().next().value);
    this.#items = null;
  }
}

const DESCRIBE = {
  "agent:task_update": describeTask,
  "agent:task_updates": describeTask,
  "bounty_pool:updated": describePool,
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

const STATUS_TONES = { CONFIRMED: "held", PAID: "paid", REJECTED: "quiet" };

function describeStatus(data) {
  return {
    key: `finding ${data.vulnerabilityId} ${data.version}`,
    kind: "findings",
    isKey: true,
    tone: STATUS_TONES[data.newStatus] ?? "quiet",
    title: `${data.severity} ${data.newStatus.toLowerCase()}`,
    text: data.rejectionReason ?? "",
    findingId: data.vulnerabilityId,
  };
}
