import { grouped, minorUnits } from "./money.js";
import { fullTime } from "./time.js";

const DAY = 86_400_000;

/** The lengths of the ranges of the chart, in milliseconds. */
export const RANGES = { day: DAY, week: 7 * DAY, month: 30 * DAY, all: Infinity };

/** The points of a range that ends at `until`; at its beginning stands the last one before it, which was still in force. */
export function inRange(points, range, until) {
  const since = until - RANGES[range];
  const begin = points.findIndex(({ at }) => at >= since);
  const first = begin < 0 ? points.length : begin;
  const before = points[first - 1];
  return before ? [{ ...before, at: since }, ...points.slice(first)] : points;
}

/** The index of the point in force at a time: the last one up to it, or else the first. */
export function indexAt(points, time) {
  return Math.max(0, points.findLastIndex(({ at }) => at <= time));
}

/** A point as text, with the exact amounts. */
export function valuesOf({ at, available, reserved, paid }, currency) {
  return `${fullTime(at)}: ${grouped(available)} ${currency} available, ${grouped(reserved)} reserved, ${grouped(paid)} paid out`;
}

/** What the chart shows, in words. */
export function summaryOf(points, currency) {
  const [first, last] = [points[0], points.at(-1)];
  const lowest = points.reduce((least, point) => (minorUnits(point.available) < minorUnits(least.available) ? point : least));
  const change = `Available from ${grouped(first.available)} to ${grouped(last.available)} ${currency}`;
  return `${change}, lowest ${grouped(lowest.available)} on ${fullTime(lowest.at)}.`;
}
