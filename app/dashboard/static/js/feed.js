import { withCurrency } from "./money.js";

const MOST = 200;

/**
 * What happened, newest first, in words. Progress of one task is one line that is written anew.
 * Events carry ids alone; names (`agentId`, `findingId`) are looked up when they are shown.
 */
export class Feed {
  items = [];
  #seen = new Set();

  apply(event) {
    const describe = DESCRIBE[event.eventType];
    if (describe) this.#add({ at: event.timestamp, ...describe(event.data) });
  }

  /** The ledger's newest entries, so that the feed does not begin empty. */
  seed(entries, currency) {
    for (const entry of entries.slice(0, 12).reverse()) {
      const data = { currency, ...entry };
      this.#add({ at: entry.createdAt, ...describePool(data) });
    }
    this.items.sort((a, b) => (a.at < b.at ? 1 : -1));
  }

  #add(item) {
    if (this.#seen.has(item.key) && !item.folds) return;
    this.#seen.add(item.key);
    const others = item.folds ? this.items.filter((each) => each.key !== item.key) : this.items;
    this.items = [item, ...others].slice(0, MOST);
    if (this.#seen.size > 4 * MOST) this.#seen = new Set(this.items.map((each) => each.key));
  }
}

const DESCRIBE = {
  "agent:task_update": describeTask,
  "bounty_pool:updated": describePool,
  "vuln:status_changed": describeStatus,
};

function describeTask(data) {
  const key = `task ${data.agentId} ${data.task}`;
  if (data.status === "RUNNING") {
    return { key, folds: true, kind: "agents", tone: "quiet", agentId: data.agentId, text: `${data.task}: ${data.progress} %` };
  }
  const isDone = data.status === "COMPLETED";
  const text = isDone ? `finished ${data.task}` : `failed at ${data.task}: ${data.error?.message ?? "no reason given"}`;
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
