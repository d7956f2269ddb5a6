import { withCurrency } from "./money.js";

const MOST = 200;

/** What happened, newest first, in words. Progress of one task is one line that is written anew. */
export class Feed {
  items = [];
  #seen = new Set();

  apply(event, names) {
    const describe = DESCRIBE[event.eventType];
    if (describe) this.#add({ at: event.timestamp, ...describe(event.data, names) });
  }

  /** The ledger's newest entries, so that the feed does not begin empty. */
  seed(entries, currency, names) {
    for (const entry of entries.slice(0, 12).reverse()) {
      const data = { currency, ...entry };
      this.#add({ at: entry.createdAt, ...describePool(data, names) });
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

function describeTask(data, names) {
  const who = names.agent(data.agentId);
  const key = `task ${data.agentId} ${data.task}`;
  if (data.status === "RUNNING") {
    return { key, folds: true, kind: "agents", tone: "quiet", title: who, text: `${data.task}: ${data.progress} %` };
  }
  const isDone = data.status === "COMPLETED";
  const text = isDone ? `finished ${data.task}` : `failed at ${data.task}: ${data.error?.message ?? "no reason given"}`;
  const more = isDone && data.nextTask ? `, now ${data.nextTask}` : "";
  return { key: `${key} ${data.version}`, kind: "agents", isKey: true, tone: isDone ? "good" : "bad", title: who, text: text + more };
}

const POOL_WORDS = {
  DEPOSIT: ["Deposit", "good"],
  RESERVATION: ["Reserved", "held"],
  RESERVATION_RELEASED: ["Reservation released", "quiet"],
  PAYMENT_RELEASED: ["Paid out", "paid"],
};

function describePool(data, names) {
  const [title, tone] = POOL_WORDS[data.changeType] ?? [data.changeType, "quiet"];
  const about = data.vulnerabilityId ? ` · ${names.finding(data.vulnerabilityId)}` : data.reference ? ` · ${data.reference}` : "";
  const key = `pool ${data.version ?}`;
  return { key, kind: "money", isKey: true, tone, title, text: withCurrency(data.amount, data.currency) + about };
}

const STATUS_TONES = { CONFIRMED: "held", PAID: "paid", REJECTED: "quiet" };

function describeStatus(data, names) {
  const reason = data.rejectionReason ? `: ${data.rejectionReason}` : "";
  return {
    key: `finding ${data.vulnerabilityId} ${data.version}`,
    kind: "findings",
    isKey: true,
    tone: STATUS_TONES[data.newStatus] ?? "quiet",
    title: `${data.severity} ${data.newStatus.toLowerCase()}`,
    text: names.finding(data.vulnerabilityId) + reason,
  };
}
