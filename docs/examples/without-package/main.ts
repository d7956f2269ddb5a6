/**
 * Prints one line of JSON per change.
 *
 *   npm install --prefix docs/examples
 *   docs/examples/node_modules/.bin/tsc --project docs/examples/without-package
 *   export DASHBOARD_URL=http://127.0.0.1:5000
 *   export DASHBOARD_TOKEN=$(.venv/bin/dashboard token --role viewer --protocol P1)
 *   node docs/examples/without-package/build/main.js P1
 */
import { Dashboard } from "./client.js";

const { DASHBOARD_URL: url, DASHBOARD_TOKEN: token } = process.env;
const protocolId = process.argv[2];
if (!url || !token || !protocolId) throw new Error("set DASHBOARD_URL and DASHBOARD_TOKEN, and name a protocol");

const show = ({ isLive, pool, agents }: Dashboard): void => {
  const tasks = [...agents.values()].map(({ agentId, task, progress, status }) => ({ agentId, task, progress, status }));
  console.log(JSON.stringify({ live: isLive, available: pool?.available ?? null, tasks }));
};
const end = (reason: Error): void => {
  console.error(reason.message);
  process.exitCode = 1;
};

new Dashboard(url, () => token, protocolId, show, end);
