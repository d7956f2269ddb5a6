export const WIDTH = 100;
export const HEIGHT = 20;
const BUCKETS = 90;

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
