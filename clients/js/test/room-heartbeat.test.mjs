import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { RoomClient, Status } from "../src/room-client.js";
import { Heartbeat } from "../src/room/heartbeat.js";
import { until } from "./waiting.mjs";
import { Room } from "./room.mjs";

const NOW = 1_000_000;
let told;
let heartbeat;

const tell = (word) => () => told.push(word);
const tick = (milliseconds) => mock.timers.tick(milliseconds);

function watch(options = {}) {
  told = [];
  heartbeat = new Heartbeat({ silenceMs: 5000, answerMs: 3000, ask: tell("ask"), onSilent: tell("silent"), onHeard: tell("heard"), ...options });
  heartbeat.start();
}

test.describe("the heartbeat", () => {
  beforeEach(() => mock.timers.enable({ apis: ["setTimeout", "Date"], now: NOW }));
  afterEach(() => mock.timers.reset());

  test("asks only after silence, counted from the last sign", () => {
    watch();
    tick(4000);
    heartbeat.hear();
    tick(4999);
    assert.deepEqual(told, []);
    tick(1);
    assert.deepEqual([told, heartbeat.heardAt], [["ask"], NOW + 4000]);
  });

  test("an answer begins the watch anew, its absence is silence until the next sign", () => {
    watch();
    tick(5000);
    heartbeat.hear();
    tick(3000);
    assert.deepEqual([told, heartbeat.isSilent], [["ask"], false]);
    tick(2000);
    assert.deepEqual(told, ["ask", "ask"]);
    tick(2999);
    assert.equal(heartbeat.isSilent, false);
    tick(1);
    assert.deepEqual([told.at(-1), heartbeat.isSilent], ["silent", true]);
    tick(60_000);
    assert.equal(told.length, 3);
    heartbeat.hear();
    assert.deepEqual([told.at(-1), heartbeat.isSilent, heartbeat.heardAt], ["heard", false, NOW + 73_000]);
    tick(5000);
    assert.equal(told.at(-1), "ask");
  });

  test("an answer at the moment of the question counts", () => {
    watch({ ask: () => heartbeat.hear() });
    tick(8000);
    assert.deepEqual([told, heartbeat.isSilent], [[], false]);
  });

  test("a stopped one asks nothing, and one without a limit never asks", () => {
    watch();
    heartbeat.stop();
    tick(60_000);
    watch({ silenceMs: 0 });
    tick(60_000);
    assert.deepEqual(told, []);
  });
});

test.describe("a client whose server hangs", () => {
  const options = { protocolId: "P1", token: "T", jitterMs: 2, refreshMs: 60_000, restMs: 1, retryMs: 3, retryCapMs: 10, silenceMs: 20, answerMs: 40 };
  let room;
  let client;

  beforeEach(async () => {
    room = new Room();
    client = new RoomClient({ io: room.io, fetch: room.fetch, ...options });
    client.start();
    await until(() => client.status === Status.LIVE);
  });
  afterEach(() => client.stop());

  test("is not live and says so, whatever /state answers, and is live again after the next sign", async () => {
    room.isFrozen = true;
    await until(() => client.status === Status.RECONNECTING);
    assert.deepEqual([client.error.code, client.error.detail], ["SILENT", "The server does not answer."]);
    assert.ok(client.staleSince <= Date.now() - options.answerMs);
    client.refresh();
    await client.join("P1");
    assert.deepEqual([client.status, client.error.code], [Status.CONNECTING, "SILENT"]);
    await until(() => client.status === Status.RECONNECTING && client.state);
    assert.equal(client.error.code, "SILENT");
    room.isFrozen = false;
    room.send(room.deposit(5));
    assert.deepEqual([client.status, client.error], [Status.RESYNCING, null]);
    await until(() => client.status === Status.LIVE);
    assert.deepEqual([client.staleSince, client.state.pool.total], [null, "5.00"]);
  });

  test("keeps its final status", async () => {
    room.refusal = { code: "UNAUTHORIZED", detail: "expired" };
    room.cut();
    await until(() => client.status === Status.SIGNED_OUT);
    const { pings } = room;
    await new Promise((done) => setTimeout(done, 100));
    assert.deepEqual([client.status, room.pings], [Status.SIGNED_OUT, pings]);
  });

  test("stays live while the server answers", async () => {
    await until(() => room.pings > 3);
    assert.equal(client.status, Status.LIVE);
    assert.equal(client.counters.snapshots, 1);
  });
});
