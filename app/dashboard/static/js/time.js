/** Times and durations as text, in the reader's locale and time zone. `now` is a parameter: the estimated server time. */

import { whole } from "./money.js";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const formatter = (options) => {
  const format = new Intl.DateTimeFormat(undefined, options);
  return (moment) => format.format(new Date(moment));
};

/** The time of day. */
export const clockTime = formatter({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const dateTime = formatter({ dateStyle: "medium", timeStyle: "short" });
export const fullTime = formatter({ dateStyle: "medium", timeStyle: "medium" });

/** The format of the labels of a time axis of this length. */
export function axisFormat(milliseconds) {
  if (milliseconds > DAY) return axisDay;
  return milliseconds > 15 * MINUTE ? axisMinute : clockTime;
}
const axisDay = formatter({ day: "numeric", month: "short" });
const axisMinute = formatter({ hour: "2-digit", minute: "2-digit" });

/** `"4 min"` */
export function span(milliseconds) {
  if (milliseconds < MINUTE) return `${whole(Math.max(0, Math.round(milliseconds / SECOND)))} s`;
  if (milliseconds < HOUR) return `${whole(Math.round(milliseconds / MINUTE))} min`;
  if (milliseconds < DAY) return `${whole(Math.round(milliseconds / HOUR))} h`;
  return `${whole(Math.round(milliseconds / DAY))} d`;
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
