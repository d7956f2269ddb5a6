import { span } from "../time.js";
import { lostRecently, rising } from "./operations-readings.js";

/** The limits are those of the alerts (deploy/prometheus/alerts.yml), each of which has a runbook of its name. */
const CAUSES = [
  ["DashboardSourceDown", ({ readings }) => named(readings, "source_up", (value) => value < 1, (names) => `The database or Redis does not answer: ${names} could not be read.`)],
  ["DashboardBeatSilent", ({ readings }) => above(readings.beat_tick_age_seconds, 15, (age) => `Beat's last tick was handled ${age} ago: waiting updates and sweeps stand still.`)],
  ["DashboardProcessSilent", ({ faults }) => Object.entries(faults).map(([role, fault]) => `${role}: ${fault}.`).join(" ")],
  ["DashboardClocksDiffer", ({ readings }) => named(readings, "clock_difference_seconds", (value) => value > 2, (names) => `The clock of ${names} differs from Redis's by more than 2 s.`)],
  ["DashboardOutboxStuck", ({ readings }) => above(readings.outbox_oldest_seconds, 60, (age) => `A stored event has waited ${age} to be sent to its room.`)],
  ["DashboardRoomsOverdue", ({ readings }) => above(readings.rooms_overdue_seconds, 5, (age) => `A room's next event should have left ${age} ago: drains do not run, or not fast enough.`)],
  ["DashboardEventsDropped", ({ rooms }, past) => droppedWords(rooms, past)],
  ["DashboardEmissionFailing", (_, past) => rising(past, "failures") && "Redis does not accept events."],
  ["DashboardLedgerMismatch", ({ readings }) => readings.ledger_mismatches > 0 && `${counted(readings.ledger_mismatches, "pool differs", "pools differ")} from the ledger.`],
  ["DashboardPaymentNotRecorded", ({ readings }) => readings.payments_not_recorded > 0 && `${counted(readings.payments_not_recorded, "payment was", "payments were")} made and could not be recorded.`],
  ["DashboardPaymentsSlow", ({ readings }) => paymentsWords(readings)],
  ["DashboardPaymentFailed", ({ readings }) => readings["payments_waiting FAILED"] > 0 && `${counted(readings["payments_waiting FAILED"], "payment was refused and waits", "payments were refused and wait")} for the owner's decision.`],
  ["DashboardWebhooksSlow", ({ readings }) => above(readings.webhook_oldest_due_seconds, 60, (age) => `A webhook's delivery has been due for ${age}.`)],
  ["DashboardQueueGrowing", ({ readings }) => named(readings, "celery_queue_length", (value) => value > 100, (names) => `More than 100 tasks wait in the queue ${names}.`)],
  ["DashboardRedisFull", ({ readings }) => memoryWords(readings)],
];

/** What is wrong, in words, with the name of its runbook: `[runbook, words]`, the gravest first. */
export function causesOf(status, past) {
  const shown = { ...status, readings: Object.fromEntries(Object.entries(status.readings).map(([key, value]) => [key, Number(value)])) };
  return CAUSES.map(([runbook, describe]) => [runbook, describe(shown, past)]).filter(([, words]) => words);
}

const counted = (count, one, many) => `${count} ${count === 1 ? one : many}`;
const above = (seconds, most, describe) => seconds > most && describe(span(seconds * 1000));

/** Describe the labels of a reading whose values are wrong; nothing if there are none. */
function named(readings, reading, isWrong, describe) {
  const wrong = Object.entries(readings).filter(([key, value]) => key.startsWith(`${reading} `) && isWrong(value));
  return wrong.length > 0 && describe(wrong.map(([key]) => key.slice(reading.length + 1)).join(", "));
}

function droppedWords(rooms, past) {
  const full = rooms.filter(({ queued, capacity }) => Number(queued) >= Number(capacity));
  if (full.length) return `The queue of ${namesOf(full)} is full: with each further event its oldest one is dropped.`;
  const losing = rooms.filter(lostRecently);
  if (losing.length) return `${namesOf(losing)} dropped events in the last minute: more arrived than ten a second can leave.`;
  return rising(past, "dropped") && "Events were dropped in the last minute.";
}

function namesOf(rooms) {
  const more = rooms.length > 3 ? ` and ${rooms.length - 3} more` : "";
  return `${rooms.length === 1 ? "room" : "rooms"} ${rooms.slice(0, 3).map(({ protocolId }) => protocolId).join(", ")}${more}`;
}

function paymentsWords(readings) {
  const oldest = Math.max(readings["payments_oldest_seconds PENDING"] ?? 0, readings["payments_oldest_seconds PROCESSING"] ?? 0);
  return above(oldest, 300, (age) => `A payment has been under way for ${age}.`);
}

function memoryWords(readings) {
  const [used, limit] = [readings["redis_memory_bytes used"], readings["redis_memory_bytes limit"]];
  return limit > 0 && used / limit > 0.8 && `Redis uses ${Math.round((used / limit) * 100)} % of its memory; when it is full, it refuses writes.`;
}
