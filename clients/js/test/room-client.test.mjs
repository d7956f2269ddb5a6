import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { RoomClient, Status } from "../src/room-client.js";
import { Room } from "./room.mjs";
import { pause, until } from "./waiting.mjs";

let room;
let client;
const QUICK = { jitterMs: 2, refreshMs: 60_000, restMs: 1, retryMs: 3, retryCapMs: 10 };

async function start(options = {}) {
  client = new RoomClient({ io: room.io, fetch: room.fetch, protocolId: "P1", token: "T", ...QUICK, ...options });
  client.start();
  await until(() => client.status === Status.LIVE);
}

const comparable = (state) => {
  const byId = (list, key) => Object.fromEntries(list.map((each) => [each[key], { ...each, updatedAt: null, lastSeen: null }]));
  const { agents, pool, vulnerabilities } = state;
  const open = byId(vulnerabilities.open, "id");
  return { pool, agents: byId(agents, "agentId"), open, counts: vulnerabilities.counts };
};
const assertExact = () => assert.deepEqual(comparable(client.snapshot()), comparable(room.state()));

beforeEach(() => (room = new Room()));
afterEach(() => client.stop());

test("every type of event changes the held state to what /state returns", async () => {
  room.file("V1");
  await start();
  room.send(room.report("A1", 10));
  await until(() => client.counters.snapshots === 2, "an unknown agent is looked up");
  room.send(room.deposit(1000));
  room.send(room.decide("V1", "CONFIRMED"));
  room.send(room.report("A1", 65));
  assert.equal(client.state.agents.get("A1").progress, "65");
  assert.equal(client.counters.snapshots, 2);
  assertExact();
});

test("a repeated or late event changes nothing", async () => {
  await start();
  const first = room.deposit(1);
  const second = room.deposit(1);
  room.send(first);
  room.send(second);
  room.send(first);
  assert.equal(client.state.pool.total, "2.00");
  assertExact();
});

test("a response that is not a state is fetched again", async () => {
  const answers = [{}, null];
  const fetch = async (...args) => {
    const answer = await room.fetch(...args);
    return answers.length ? { ...answer, json: async () => answers.shift() } : answer;
  };
  await start({ fetch });
  assert.equal(room.requests, 3);
  assertExact();
});

test("events that arrive before the first snapshot are applied once", async () => {
  const slow = (...args) => pause(30).then(() => room.fetch(...args));
  const starting = start({ fetch: slow });
  await until(() => room.connections.size === 1);
  const told = [];
  client.onEvent = (event) => told.push(event.seq);
  room.send(room.deposit(5));
  room.send(room.deposit(6));
  await starting;
  assert.equal(client.state.pool.total, "11.00");
  assert.deepEqual(told, ["1", "2"]);
  assert.equal(client.counters.losses, 0);
});

test("a gap in seq causes a resync", async () => {
  await start();
  room.send(room.deposit(1));
  room.deposit(10);
  room.send(room.report("A1", 1));
  assert.equal(client.status, Status.RESYNCING);
  assert.notEqual(client.staleSince, null);
  await until(() => client.status === Status.LIVE);
  assert.equal(client.counters.losses, 1);
  assertExact();
});

test("a gap that the snapshot covers causes no resync", async () => {
  await start();
  const late = room.deposit(1);
  room.deposit(1);
  const newest = room.deposit(1);
  client.refresh();
  await until(() => client.counters.snapshots === 2);
  room.send(late);
  room.send(newest);
  assert.equal(client.counters.losses, 0);
  assertExact();
});

test("a seq that decreases means that the room was reset", async () => {
  await start();
  room.send(room.deposit(1));
  room.send(room.deposit(1));
  room.seq = 0;
  room.send(room.deposit(1));
  await until(() => client.counters.losses === 1 && client.status === Status.LIVE);
  room.send(room.deposit(1));
  assertExact();
});

test("the regular resync recovers a lost last event", async () => {
  await start({ refreshMs: 40 });
  room.deposit(77);
  await until(() => client.state.pool.total === "77.00");
});

test("after a broken connection the held state is stale, and exact after the reconnection", async () => {
  await start();
  room.send(room.deposit(1));
  room.cut();
  assert.equal(client.status, Status.RECONNECTING);
  assert.equal(client.state.pool.total, "1.00");
  assert.ok(client.staleSince <= Date.now());
  room.deposit(2);
  await until(() => client.status === Status.LIVE);
  assert.equal(client.staleSince, null);
  assertExact();
});

test("a connection closed by the server is reopened", async () => {
  await start();
  room.cut("io server disconnect");
  await until(() => client.status === Status.LIVE);
});

test("a server that does not respond is retried until it does", async () => {
  await start();
  room.isDown = true;
  room.deposit(1);
  room.cut();
  await until(() => client.error?.code === "UNREACHABLE");
  assert.equal(client.status, Status.RESYNCING);
  room.isDown = false;
  await until(() => client.status === Status.LIVE);
  assertExact();
});

test("a rejected token signs out, and nothing is retried", async () => {
  await start();
  room.refusal = { code: "UNAUTHORIZED", detail: "The token has expired." };
  room.cut("io server disconnect");
  await until(() => client.status === Status.SIGNED_OUT);
  assert.deepEqual(client.error, room.refusal);
  const { requests } = room;
  await pause(40);
  assert.equal(room.requests, requests);
});

test("an unknown protocol ends in an error with its reason", async () => {
  room.refusal = { code: "INVALID_PROTOCOL", detail: "There is no such protocol." };
  const joined = start().catch(() => {});
  await until(() => client.status === Status.ERROR);
  assert.equal(client.error.code, "INVALID_PROTOCOL");
  client.stop();
  room.refusal = null;
  await start();
  await joined;
});

test("after a switch of the protocol nothing of the old room is shown", async () => {
  await start();
  room.send(room.deposit(9));
  const joining = client.join("P2");
  assert.equal(client.state, null);
  room.send(room.deposit(1));
  await joining;
  await until(() => client.status === Status.LIVE);
  const { total } = client.state.pool;
  room.send(room.deposit(1));
  assert.equal(client.state.pool.total, total, "an event of P1 is not for a reader of P2");
});

test("with agentBatches one event updates many agents", async () => {
  room.report("A1", 1);
  room.report("A2", 1);
  await start({ agentBatches: true });
  assert.equal(room.handshakes[0].agentBatches, true);
  assert.deepEqual(room.urls, ["/api/v1/protocols/P1/state?agentBatches=true"]);
  const updates = [room.report("A1", 20).data, room.report("A2", 30).data];
  room.seq -= 2;
  room.send(room.event("agent:task_updates", { updates }));
  assert.deepEqual([...client.state.agents.values()].map((agent) => agent.progress), ["20", "30"]);
  assert.equal(client.counters.losses, 0);
  assertExact();
});

test("a renewed token is sent without a new connection", async () => {
  let token = "first";
  await start({ token: () => token });
  token = "second";
  await client.renew();
  assert.deepEqual(room.renewed, ["second"]);
  assert.deepEqual(room.handshakes.map((handshake) => handshake.token), ["first"]);
});

test("after dropped, repeated and cut messages the client equals the server", async () => {
  for (let round = 0; round < 12; round += 1) {
    room = new Room();
    ["V1", "V2", "V3", "V4"].forEach((id) => room.file(id));
    await start({ refreshMs: 25 });
    await stir(200);
    room.send(room.deposit(1));
    await until(() => client.status === Status.LIVE && client.state.seq === String(room.seq));
    assertExact();
    client.stop();
  }
});

async function stir(steps) {
  for (let step = 0; step < steps; step += 1) {
    const chance = Math.random();
    const event = someChange();
    if (event && chance > 0.2) room.send(event);
    if (event && chance > 0.95) room.send(event);
    if (chance < 0.02) room.cut(chance < 0.01 ? "io server disconnect" : "ping timeout");
    if (step % 4 === 0) await pause(1);
  }
}

function someChange() {
  const kind = Math.floor(Math.random() * 4);
  if (kind === 0) return room.deposit(1 + Math.floor(Math.random() * 100));
  if (kind < 3) return room.report(`A${Math.floor(Math.random() * 5)}`, Math.floor(Math.random() * 100));
  const found = [...room.vulnerabilities.values()].find((each) => ["PENDING", "CONFIRMED"].includes(each.status));
  if (!found) return void room.file(`V${room.vulnerabilities.size + 1}`);
  return room.decide(found.id, found.status === "CONFIRMED" ? "PAID" : Math.random() < 0.5 ? "CONFIRMED" : "REJECTED");
}
