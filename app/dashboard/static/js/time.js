/** Times and durations as text. `now` is a parameter: the estimated server time. */

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export const clockTime = (moment) => clock.format(new Date(moment));
export const fullTime = (moment) => full.format(new Date(moment));

/** `"4 min"` */
export function span(milliseconds) {
  if (milliseconds < MINUTE) return `${Math.max(0, Math.round(milliseconds / SECOND))} s`;
  if (milliseconds < HOUR) return `${Math.round(milliseconds / MINUTE)} min`;
  if (milliseconds < DAY) return `${Math.round(milliseconds / HOUR)} h`;
  return `${Math.round(milliseconds / DAY)} d`;
}

export function ago(moment, now) {
  const passed = now - Date.parse(moment);
  return passed < 5 * SECOND ? "now" : `${span(passed)} ago`;
}

/** `"about 4 min left"`, or that the estimate has passed. */
export function remaining(moment, now) {
  const left = Date.parse(moment) - now;
  return left > 0 ? `about ${span(left)} left` : `${span(-left)} over estimate`;
}
