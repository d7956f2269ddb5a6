/** The finding lists of the page, in their order: what the tables show, and where a panel's previous and next lead. */

export const sortOf = (text) => ({ by: text.replace("-", ""), descending: text.startsWith("-") });

/** The findings of a view, as the address filters and orders them. */
export function listed({ findings, state }, { view, status, severity, q, sort }) {
  if (view === "queue") return queueOf(findings);
  const hasFailed = ({ paymentId }) => state.payments.get(paymentId)?.status === "FAILED";
  return findings.rows({ status, severity, text: q, sort: sortOf(sort), hasFailed });
}

/** What waits for a decision: the gravest first, and of those the oldest. */
export function queueOf(findings) {
  const oldest = { by: "date", descending: false };
  const rows = findings.rows({ status: "PENDING", severity: "ALL", text: "", sort: oldest });
  return SEVERITIES.flatMap((severity) => rows.filter((row) => row.severity === severity));
}

export const SEVERITIES = ["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"];

/**
 * The neighbours of `id` in a list: `{position, count, previous, next}`. For an id that is not in it (any more), those of
 * the place where it was, so that a decided finding leads to the one that followed it.
 */
export function neighbours(ids, id, lastPosition = -1) {
  const at = ids.indexOf(id);
  const place = at < 0 ? lastPosition : at;
  const isHere = at >= 0;
  const before = place > 0 ? ids[Math.min(place, ids.length) - 1] : undefined;
  const after = place < 0 ? ids[0] : ids[isHere ? place + 1 : place];
  return { position: at, count: ids.length, previous: before, next: after };
}

/** To be called before a decision: returns a function that names the finding to open after it, "" if none is waiting. */
export function afterDecision(findings, id) {
  const before = queueOf(findings).map((each) => each.id);
  const later = before.slice(before.indexOf(id) + 1);
  return () => {
    const waiting = new Set(queueOf(findings).map((each) => each.id));
    waiting.delete(id);
    return later.find((each) => waiting.has(each)) ?? [...waiting][0] ?? "";
  };
}
