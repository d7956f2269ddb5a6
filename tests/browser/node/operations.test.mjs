import assert from "node:assert/strict";
import { test } from "node:test";
import { causesOf } from "../../../app/dashboard/static/js/ui/operations-causes.js";
import { ratesOf, rising } from "../../../app/dashboard/static/js/ui/operations-readings.js";
import { lineOf } from "../../../app/dashboard/static/js/ui/sparkline-points.js";

const MINUTE = 60_000;
const WELL = { readings: { "source_up rooms": "1", beat_tick_age_seconds: "1.2", "payments_waiting FAILED": "0", "redis_memory_bytes limit": "0" }, faults: {}, rooms: [] };
const causes = (readings, more = {}, past = []) => causesOf({ ...WELL, ...more, readings: { ...WELL.readings, ...readings } }, past);

test("a system without faults has no causes", () => assert.deepEqual(causes({}), []));

test("each fault is told in words, the gravest first, with the name of its runbook", () => {
  const readings = {
    "source_up outbox": "0", beat_tick_age_seconds: "75", "clock_difference_seconds worker": "3.5", outbox_oldest_seconds: "61", rooms_overdue_seconds: "6",
    ledger_mismatches: "2", payments_not_recorded: "1", "payments_oldest_seconds PROCESSING": "301", "payments_waiting FAILED": "1",
    webhook_oldest_due_seconds: "61", "celery_queue_length payments": "101", "redis_memory_bytes used": "90", "redis_memory_bytes limit": "100",
  };
  const found = Object.fromEntries(causes(readings, { faults: { beat: "no sign of life of beat (host) for 20 s" } }));
  assert.match(found.DashboardSourceDown, /outbox could not be read/);
  assert.match(found.DashboardBeatSilent, /1 min ago/);
  assert.match(found.DashboardProcessSilent, /no sign of life of beat/);
  assert.match(found.DashboardClocksDiffer, /clock of worker/);
  assert.match(found.DashboardLedgerMismatch, /2 pools differ/);
  assert.match(found.DashboardPaymentFailed, /1 payment was refused and waits/);
  assert.match(found.DashboardRedisFull, /90 %/);
  const others = ["DashboardOutboxStuck", "DashboardRoomsOverdue", "DashboardPaymentNotRecorded", "DashboardPaymentsSlow", "DashboardWebhooksSlow", "DashboardQueueGrowing"];
  assert.deepEqual(others.filter((each) => !found[each]), []);
  assert.equal(Object.keys(found)[0], "DashboardSourceDown");
});

test("full and losing rooms are named, and a loss is forgotten after a minute", () => {
  const room = { protocolId: "P1", queued: "100", capacity: "100", secondsSinceDrop: null };
  assert.match(Object.fromEntries(causes({}, { rooms: [room] })).DashboardEventsDropped, /queue of room P1 is full/);
  assert.match(Object.fromEntries(causes({}, { rooms: [{ ...room, queued: "3", secondsSinceDrop: "59" }] })).DashboardEventsDropped, /room P1 dropped/);
  assert.deepEqual(causes({}, { rooms: [{ ...room, queued: "3", secondsSinceDrop: "60" }] }), []);
  const past = [0, 1, 3, 4].map((minute, index) => ({ at: minute * MINUTE, events: { dropped: index < 2 ? "0" : "7" } }));
  assert.deepEqual([rising(past, "dropped"), rising(past.slice(0, 3), "dropped")], [false, false]);
  assert.equal(rising([...past, { at: 4 * MINUTE + 1, events: { dropped: "8" } }], "dropped"), true);
});

test("a line keeps a short peak, and a restarted counter is no fall", () => {
  const points = Array.from({ length: 450 }, (_, index) => ({ at: index * 2000, value: index === 200 ? 50 : 0 }));
  const line = lineOf(points, 15 * MINUTE, 50).split(" ");
  assert.ok(line.length <= 90);
  assert.deepEqual(line.filter((point) => point.endsWith(",1.0")).length, 1);
  const counts = [["0", 0], ["20", 2000], ["4", 4000]].map(([emitted, at]) => ({ at, events: { emitted } }));
  assert.deepEqual(ratesOf(counts, "emitted"), [{ at: 2000, value: 10 }, { at: 4000, value: 0 }]);
});
