/**
 * Periods of whole days and months, in UTC as in the ledger and its CSV, so that a month is the same for every reader.
 * A day is a text such as `"2026-10-31"`; a period is `{from, to}`, both inclusive, `""` for open.
 */

const DAY_MS = 86_400_000;
const month = new Intl.DateTimeFormat(undefined, { month: "long", year: "numeric", timeZone: "UTC" });
const dayOf = (milliseconds) => new Date(milliseconds).toISOString().slice(0, 10);

/** Whether the text is a day of the calendar. */
export function isDay(text) {
  const time = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(text) : NaN;
  return !Number.isNaN(time) && dayOf(time) === text; // "2026-02-31" is parsed as a day of March
}

/** The latest `count` months, the present one first: `{key: "2026-10", label: "October 2026", from, to}`. */
export function months(now, count) {
  const today = new Date(now);
  return Array.from({ length: count }, (_, index) => {
    const first = Date.UTC(today.getUTCFullYear(), today.getUTCMonth() - index, 1);
    const next = Date.UTC(today.getUTCFullYear(), today.getUTCMonth() - index + 1, 1);
    return { key: dayOf(first).slice(0, 7), label: month.format(first), from: dayOf(first), to: dayOf(next - DAY_MS) };
  });
}

/** The parameters of a list for this period; the API's `to` is exclusive. */
export function periodQuery({ from, to }) {
  return { ...(from && { from }), ...(to && { to: dayOf(Date.parse(to) + DAY_MS) }) };
}

/** Whether the moment (ISO 8601) is in the period. */
export function isWithin({ from, to }, moment) {
  const day = moment.slice(0, 10);
  return (!from || day >= from) && (!to || day <= to);
}

/** The fault in a period, as text; null if there is none. */
export const periodFault = ({ from, to }) => (from && to && from > to ? "The period ends before it begins." : null);
