/**
 * A client's state of one protocol, and how an event changes it. Pure: no network, no DOM.
 *
 * An object with a `version` is replaced only by a newer one, so an event that the snapshot already contains, or
 * that arrives twice, changes nothing. Objects are never changed in place, so a view can compare them by identity.
 */

const OPEN = new Set(["PENDING", "CONFIRMED"]);

/** The result of applying an event. UNKNOWN: its object is not held, so a new snapshot is needed. */
export const Applied = Object.freeze({ YES: "yes", OLD: "old", UNKNOWN: "unknown" });

/** Whether version `a` is higher than `b`; versions are decimal strings that may exceed 2^53. */
export const isNewer = (a, b) => b === undefined || b === null || BigInt(a) > BigInt(b);

/** The state from the body of `GET /protocols/{id}/state`: lists become maps by id. */
export function fromSnapshot(body) {
  return {
    protocol: body.protocol,
    seq: body.seq,
    asOf: body.asOf,
    pool: body.pool,
    agents: new Map((body.agents ?? []).map((agent) => [agent.agentId, agent])),
    agentsTruncated: body.agentsTruncated ?? false,
    open: new Map((body.vulnerabilities?.open ?? []).map((found) => [found.id, found])),
    closed: new Map(),
    counts: body.vulnerabilities?.counts ?? {},
    payments: new Map((body.payments ?? []).map((payment) => [payment.id, payment])),
  };
}

/** The state in the form of `/state`. */
export function toSnapshot(state) {
  const { protocol, seq, asOf, pool, agentsTruncated, counts } = state;
  const [agents, open, payments] = [state.agents, state.open, state.payments].map((map) => [...map.values()]);
  return { protocol, seq, asOf, pool, agents, agentsTruncated, vulnerabilities: { open, counts }, payments };
}

/** Merge one event into `state`. Returns one of `Applied`. */
export function applyEvent(state, event) {
  const apply = APPLY[event.eventType];
  return apply ? apply(state, event.data, event) : Applied.OLD;
}

const APPLY = {
  "agent:task_update": applyTask,
  "agent:task_updates": (state, data, event) => worstOf(data.updates.map((each) => applyTask(state, each, event))),
  "bounty_pool:updated": applyPool,
  "payment:status_changed": applyPaymentStatus,
  "vuln:discovered": applyDiscovery,
  "vuln:status_changed": applyStatus,
};

function worstOf(results) {
  if (results.includes(Applied.UNKNOWN)) return Applied.UNKNOWN;
  return results.includes(Applied.YES) ? Applied.YES : Applied.OLD;
}

function applyTask(state, data, event) {
  const agent = state.agents.get(data.agentId);
  if (!isNewer(data.version, agent?.version)) return Applied.OLD;
  const seen = { presence: "ONLINE", lastSeen: event.timestamp };
  state.agents.set(data.agentId, { name: null, type: null, ...agent, ...data, ...seen });
  return agent ? Applied.YES : Applied.UNKNOWN;
}

function applyPool(state, data, event) {
  if (!isNewer(data.version, state.pool?.version)) return Applied.OLD;
  const { total, available, reserved, paid, currency, version } = data;
  state.pool = { ...state.pool, total, available, reserved, paid, currency, version };
  if (data.changeType === "PAYMENT_RELEASED") return applyPayment(state, data, event);
  return data.vulnerabilityId ? applyReservation(state, data) : Applied.YES;
}

function applyPayment(state, data, event) {
  const payment = state.payments.get(data.paymentId);
  if (!payment) return Applied.UNKNOWN;
  state.payments.set(payment.id, { ...payment, status: "RELEASED", failureReason: null, releasedAt: event.timestamp });
  return Applied.YES;
}

/** A payment that is not held is shown at once, without its recipient, and fetched. */
function applyPaymentStatus(state, data) {
  const { paymentId: id, vulnerabilityId, newStatus: status, amount, currency, failureReason, attempts, version, changedAt } = data;
  const held = state.payments.get(id);
  if (held && !isNewer(version, held.version)) return Applied.OLD;
  const first = { id, vulnerabilityId, protocolId: state.protocol?.id, recipient: null, lastError: null, createdAt: changedAt, releasedAt: null };
  const releasedAt = status === "RELEASED" ? changedAt : null;
  state.payments.set(id, { ...first, ...held, amount, currency, status, failureReason, attempts, version, releasedAt });
  const found = state.open.get(vulnerabilityId);
  if (found) state.open.set(found.id, { ...found, paymentId: paymentIdAfter(data, found.paymentId) });
  return held ? Applied.YES : Applied.UNKNOWN;
}

/** The payment of a vulnerability after a payment's change: a cancelled one makes way for another. */
export function paymentIdAfter({ paymentId, newStatus }, held = null) {
  if (newStatus !== "CANCELLED") return paymentId;
  return held === paymentId ? null : held;
}

/** The vulnerability that an event of its filing describes, in the form of `/state`. */
export function filedBy({ vulnerabilityId, title, severity, status, bounty, agentId, version, createdAt }) {
  return { id: vulnerabilityId, title, severity, status, bounty, agentId, rejectionReason: null, paymentId: null, version, createdAt, updatedAt: createdAt };
}

/** A snapshot that is newer than the filing, and does not hold it as open, was read after it was decided. */
function applyDiscovery(state, data) {
  const id = data.vulnerabilityId;
  if (state.open.has(id) || state.closed.has(id)) return Applied.OLD;
  if (data.createdAt < state.asOf) return Applied.UNKNOWN;
  state.open.set(id, { ...filedBy(data), protocolId: state.protocol?.id });
  const { total, byStatus, bySeverity } = state.counts;
  const counts = { byStatus: plus(byStatus, data.status, 1), bySeverity: plus(bySeverity, data.severity, 1) };
  state.counts = { ...state.counts, ...counts, total: String(Number(total ?? 0) + 1) };
  return Applied.YES;
}

/** A reservation follows a filing or a confirmation with a bounty, or a payment. */
function applyReservation(state, data) {
  const found = state.open.get(data.vulnerabilityId);
  const isClosing = data.changeType === "RESERVATION_RELEASED" && found?.status !== "CONFIRMED";
  if (isClosing) return Applied.YES;
  if (found?.status !== "PENDING") return Applied.UNKNOWN;
  state.open.set(found.id, { ...found, bounty: data.amount });
  return Applied.YES;
}

function applyStatus(state, data, event) {
  const id = data.vulnerabilityId;
  const found = state.open.get(id);
  const held = found?.version ?? state.closed.get(id);
  if (held !== undefined && !isNewer(data.version, held)) return Applied.OLD;
  if (!found) return Applied.UNKNOWN;
  if (OPEN.has(data.newStatus)) {
    const { version, changedAt } = data;
    state.open.set(id, { ...found, status: data.newStatus, version, updatedAt: changedAt ?? event.timestamp });
  } else {
    state.open.delete(id);
    state.closed.set(id, data.version);
  }
  state.counts = recount(state.counts, found.status, data.newStatus);
  return Applied.YES;
}

function recount(counts, from, to) {
  return { ...counts, byStatus: plus(plus(counts.byStatus, from, -1), to, 1) };
}

const plus = (tally, key, change) => ({ ...tally, [key]: String(Math.max(0, Number(tally?.[key] ?? 0) + change)) });
