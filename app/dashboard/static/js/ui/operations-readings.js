/** What is read, in words; of backlogs with their unit and the most that is usual. */

export const BACKLOGS = [
  ["beat_tick_age_seconds", "Beat's last tick", " s ago", 5],
  ["outbox_waiting", "Stored events not yet sent", "", 50],
  ["outbox_oldest_seconds", "Oldest of them", " s", 5],
  ["rooms_waiting", "Rooms waiting for their turn", "", Infinity],
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
  ["undelivered", "Sent while somebody was away"],
  ["failures", "Could not be sent"],
  ["limited", "Requests refused by a limit"],
];

const LATELY_SECONDS = 60;

/** Counters never fall: what needs a look is one that rose within the last minute, not one that once did. */
export const rising = (past, key) => past.length > 0 && Number(past.at(-1).events[key]) > Number(past[0].events[key]);

export const lostLately = ({ secondsSinceDrop }) => secondsSinceDrop !== null && Number(secondsSinceDrop) < LATELY_SECONDS;
