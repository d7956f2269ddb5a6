/**
 * A dashboard in a terminal: the live state of one protocol, one line of JSON per change. Plain JavaScript.
 *
 *   npm install --prefix docs/examples
 *   export DASHBOARD_URL=http://127.0.0.1:5000
 *   export DASHBOARD_TOKEN=$(.venv/bin/dashboard token --role viewer --protocol P1)
 *   node docs/examples/dashboard/watch.mjs P1
 *
 * It uses the client package, which joins, fetches `/state`, merges by `version`, detects gaps in `seq` and reconnects.
 */
import { io } from "socket.io-client";
import { RoomClient } from "@dashboard-realtime/client";

const { DASHBOARD_URL: baseUrl, DASHBOARD_TOKEN: token } = process.env;
const [protocolId] = process.argv.slice(2);
const show = (line) => console.log(JSON.stringify(line));

const room = new RoomClient({ io, baseUrl, protocolId, token });

room.onEvent = (event) => show({ event: event.eventType, seq: event.seq, ...event.data });
room.onChange = () => {
  if (room.status === "signed out" || room.status === "error") {
    show({ status: room.status, ...room.error });
    process.exit(1);
  }
  const { pool, agents, counts } = room.snapshot() ?? { agents: [] };
  const busy = agents.filter((agent) => agent.status === "RUNNING").length;
  show({ status: room.status, pool, busy, vulnerabilities: counts ?? room.snapshot()?.vulnerabilities.counts });
};

room.start();
process.on("SIGTERM", () => {
  room.stop();
  process.exit(0);
});
