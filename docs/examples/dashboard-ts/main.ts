/**
 * A protocol's pool and agents, live: one line of JSON per change. A misspelt event or member does not compile.
 *
 *   npm install --prefix docs/examples
 *   docs/examples/node_modules/.bin/tsc --project docs/examples/dashboard-ts
 *   export DASHBOARD_URL=http://127.0.0.1:5000
 *   export DASHBOARD_TOKEN=$(.venv/bin/dashboard token --role viewer --protocol P1)
 *   node docs/examples/dashboard-ts/build/main.js P1
 */
import { RoomClient, Status, type RoomEvent } from "@dashboard-realtime/client";
import { io } from "socket.io-client";

const { DASHBOARD_URL: baseUrl, DASHBOARD_TOKEN: token } = process.env;
const protocolId = process.argv[2];
if (!baseUrl || !token || !protocolId) throw new Error("set DASHBOARD_URL and DASHBOARD_TOKEN, and name a protocol");

const room = new RoomClient({ io, baseUrl, protocolId, token });

room.onEvent = (event: RoomEvent): void => {
  if (event.eventType === "vuln:discovered") console.error(`new: ${event.data.title} (${event.data.severity})`);
};
room.onChange = ({ status, error }: RoomClient): void => {
  if (status === Status.SIGNED_OUT || status === Status.ERROR) {
    console.error(error?.detail);
    process.exit(1);
  }
  const state = room.snapshot();
  const tasks = state?.agents.map(({ agentId, task, progress, status: of }) => ({ agentId, task, progress, status: of })) ?? [];
  console.log(JSON.stringify({ live: status === Status.LIVE, available: state?.pool.available ?? null, tasks }));
};
room.start();
