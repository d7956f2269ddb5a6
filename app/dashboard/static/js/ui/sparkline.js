import { html } from "./preact.js";

const WIDTH = 100;
const HEIGHT = 20;
const BUCKETS = 90;

/**
 * A value over the last minutes, as a line. What it shows is also in its label.
 *
 * @param {{at: number, value: number}[]} points oldest first
 * @param {number} spanMs the time from the left to the right edge, which is the last point
 */
export function Sparkline({ points, spanMs, label }) {
  if (points.length < 2) return html`<svg class="sparkline" viewBox="0 0 ${WIDTH} ${HEIGHT}" aria-hidden="true"></svg>`;
  const values = points.map(({ value }) => value);
  const [lowest, highest] = [Math.min(...values), Math.max(...values)];
  const said = `${label}, last ${Math.max(1, Math.round((points.at(-1).at - points[0].at) / 60_000))} min: ${short(lowest)} to ${short(highest)}`;
  return html`<svg class="sparkline" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label=${said}>
    <title>${said}</title>
    <polyline points=${lineOf(points, spanMs, highest)} />
  </svg>`;
}

/** The highest value of each bucket of time, so that a short peak stays visible; without values there is no line. */
export function lineOf(points, spanMs, highest) {
  const from = points.at(-1).at - spanMs;
  const buckets = new Map();
  for (const { at, value } of points) {
    const bucket = Math.min(BUCKETS - 1, Math.floor(((at - from) / spanMs) * BUCKETS));
    if (bucket >= 0) buckets.set(bucket, Math.max(value, buckets.get(bucket) ?? -Infinity));
  }
  const height = (value) => HEIGHT - 1 - (highest > 0 ? (value / highest) * (HEIGHT - 2) : 0);
  return [...buckets].map(([bucket, value]) => `${((bucket / (BUCKETS - 1)) * WIDTH).toFixed(1)},${height(value).toFixed(1)}`).join(" ");
}

const short = (value) => String(Math.round(value * 10) / 10);
