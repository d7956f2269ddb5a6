/** DASHBOARD_URL=… DASHBOARD_TOKEN=… node main.js P1: prints one line of JSON per change. */
import { Dashboard } from "./client.js";

const { DASHBOARD_URL: url, DASHBOARD_TOKEN: token } = process.env;
const protocolId = process.argv[2];
if (!url || !token || !protocolId) throw new Error("set DASHBOARD_URL and DASHBOARD_TOKEN, and name a protocol");

new Dashboard(url, token, protocolId, ({ pool, agents }) => {
  const tasks = [...agents.values()].map(({ agentId, task, progress, status }) => ({ agentId, task, progress, status }));
  console.log(JSON.stringify({ available: pool?.available ?? null, tasks }));
});
