/** Labels of the readings; for backlogs also the unit and the highest normal value. */

export const BACKLOGS = [
  ["beat_tick_age_seconds", "Beat's last tick", " s ago", 5],
  ["outbox_waiting", "Stored events not yet sent", "", 50],
  ["outbox_oldest_seconds", "Oldest of them", " s", 5],
  ["rooms_waiting", "Rooms with a backlog", "", Infinity],
  ["room_queue_longest", "Longest room queue", "", 79],
  ["rooms_overdue_seconds", "Latest room's delay", " s", 2],
  ["payments_waiting PENDING", "Payments pending", "", Infinity],
  ["payments_waiting PROCESSING", "Payments on their way", "", Infinity],
  ["payments_waiting FAILED", "Payments failed", "", 0],
  ["payments_oldest_seconds PENDING", "Oldest pending payment", " s", 60],
  ["webhook_deliveries_pending", "Webhook deliveries pending", "", Infinity],
  ["webhook_oldest_due_seconds", "Most overdue of them", " s", 10],
  ["celery_queue_length realtime", "Realtime tasks queued", "", 20],
  ["celery_queue_length payments", "Payment tasks queued", "", 100],
  ["celery_queue_length webhooks", "Webhook tasks queued", "", 20],
  ["celery_queue_length maintenance", "Maintenance tasks queued", "", 20],
];

export const EVENTS = [
  ["emitted", "Sent to their room"],
  ["dropped", "Dropped from full queues"],
  ["undelivered", "Sent while a client was disconnected"],
  ["failures", "Could not be sent"],
  ["limited", "Requests refused by a limit"],
];

const RECENT_SECONDS = 60;

/** Whether a counter has risen within the last minute; its absolute value does not matter. */
export function rising(past, key) {
  const recent = past.filter(({ at }) => past.at(-1).at - at <= RECENT_SECONDS * 1000);
  return recent.length > 0 && Number(recent.at(-1).events[key]) > Number(recent[0].events[key]);
}

/** The readings of `past` as points `{at, value}`; `read` is given one of them. */
export const seriesOf = (past, read) => past.map((each) => ({ at: each.at, value: Number(read(each)) })).filter(({ value }) => Number.isFinite(value));

/** A counter's rise per second. A process that was restarted counts from 0 again. */
export function ratesOf(past, key) {
  const counts = seriesOf(past, ({ events }) => events[key]);
  return counts.slice(1).map(({ at, value }, index) => ({ at, value: Math.max(0, value - counts[index].value) / Math.max(0.001, (at - counts[index].at) / 1000) }));
}

export const lostRecently = ({ secondsSinceDrop }) => secondsSinceDrop !== null && Number(secondsSinceDrop) < RECENT_SECONDS;
