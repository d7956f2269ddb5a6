// Many reference clients in one process. First line on stdin: {url, clients: [{protocolId, token}]}. Then one command
// a line: `count` prints how many are live; `compare` fetches each protocol's state once and prints which clients differ.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { isDeepStrictEqual } from "node:util";

import { RoomClient, Status } from "../../clients/js/src/room-client.js";
import { toSnapshot } from "../../clients/js/src/room/state.js";

const { io } = createRequire(process.env.CLIENT_MODULES + "/package.json")("socket.io-client");
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { url, clients } = JSON.parse((await lines.next()).value);
const answer = (message) => process.stdout.write(JSON.stringify(message) + "\n");

let events = 0;
let outOfOrder = 0;
const rooms = clients.map(({ protocolId, token }) => {
  const socketOptions = { transports: ["websocket"], forceNew: true, reconnectionDelay: 200, reconnectionDelayMax: 2000 };
  const room = new RoomClient({ io, token, protocolId, baseUrl: url, socketOptions, refreshMs: 3_600_000 });
  let last = 0n;
  room.onEvent = (event) => {
    events += 1;
    if (BigInt(event.seq) <= last) outOfOrder += 1;
    last = BigInt(event.seq);
  };
  room.start();
  return { room, protocolId, token };
});

/** The members that must be equal: all but timestamps and values computed from the clock. */
function essence({ pool, agents, vulnerabilities, payments }) {
  const task = ({ agentId, task, progress, status, error, version }) => ({ agentId, task, progress, status, error, version });
  const byId = (a, b) => (a.id < b.id ? -1 : 1);
  const finding = ({ id, status, bounty, version }) => ({ id, status, bounty, version });
  return {
    pool,
    agents: agents.map(task).sort((a, b) => (a.agentId < b.agentId ? -1 : 1)),
    open: vulnerabilities.open.map(finding).sort(byId),
    counts: vulnerabilities.counts.byStatus,
    payments: payments.map(({ id, status }) => ({ id, status })).sort(byId),
  };
}

async function truths() {
  const found = new Map();
  for (const { protocolId, token } of rooms) {
    if (found.has(protocolId)) continue;
    const response = await fetch(`${url}/api/v1/protocols/${protocolId}/state`, { headers: { authorization: `Bearer ${token}` } });
    found.set(protocolId, response.ok ? essence(await response.json()) : { status: response.status });
  }
  return found;
}

const COMMANDS = {
  count: () => ({ live: rooms.filter(({ room }) => room.status === Status.LIVE).length, events, outOfOrder }),
  compare: async () => {
    const expected = await truths();
    const wrong = rooms.filter(
      ({ room, protocolId }) =>
        room.status !== Status.LIVE || !isDeepStrictEqual(essence(toSnapshot(room.state)), expected.get(protocolId)),
    );
    const [first] = wrong;
    const example = first && {
      status: first.room.status,
      error: first.room.error,
      held: first.room.state && essence(toSnapshot(first.room.state)),
      expected: expected.get(first.protocolId),
    };
    return { wrong: wrong.length, example: example ?? null, events, outOfOrder };
  },
};

for await (const line of lines) answer(await COMMANDS[line.trim()]());
process.exit(0);
