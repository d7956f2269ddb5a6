import { rough } from "../money.js";
import { html } from "./preact.js";
import { HEIGHT, WIDTH, lineOf } from "./sparkline-points.js";

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
  const said = `${label}, last ${Math.max(1, Math.round((points.at(-1).at - points[0].at) / 60_000))} min: ${rough(lowest)} to ${rough(highest)}`;
  return html`<svg class="sparkline" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label=${said}>
    <title>${said}</title>
    <polyline points=${lineOf(points, spanMs, highest)} />
  </svg>`;
}


