/** The finding lists of the page, in their order: what the tables show, and where a panel's previous and next lead. */

export const sortOf = (text) => ({ by: text.replace("-", ""), descending: text.startsWith("-") });

/** The findings of a view, as the address filters and orders them. */
export function listed(findings, { view, status, severity, q, sort }) {
  if (view === "queue") return queueOf(findings);
  return findings.rows({ status, severity, text: q, sort: sortOf(sort) });
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
