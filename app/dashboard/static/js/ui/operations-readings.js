/** Labels of the readings; for backlogs also the unit and the highest normal value. */

export const BACKLOGS = [
  ["beat_tick_age_seconds", "Beat's last tick", " s ago", 5],
  ["outbox_waiting", "Stored events not yet sent", "", 50],
  ["outbox_oldest_seconds", "Oldest of them", " s", 5],
  ["rooms_waiting", "Rooms with a backlog", "", Infinity],
  ["rooms_overdue_seconds", "Latest room's delay", " s", 2],
  ["payments_waiting PENDING", "Payments pending", "", Infinity],
  ["payments_waiting PROCESSING", "Payments on their way", "", Infinity],
  ["payments_waiting FAILED", "Payments failed", "", 0],
  ["payments_oldest_seconds PENDING", "Oldest pending payment", " s", 60],
  ["celery_queue_length realtime", "Realtime tasks queued", "", 20],
  ["celery_queue_length payments", "Payment tasks queued", "", 100],
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

/** Whether a counter has risen within the watched minute; its absolute value does not matter. */
export const rising = (past, key) => past.length > 0 && Number(past.at(-1).events[key]) > Number(past[0].events[key]);

export const lostRecently = ({ secondsSinceDrop }) => secondsSinceDrop !== null && Number(secondsSinceDrop) < RECENT_SECONDS;
