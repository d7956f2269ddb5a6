/**
 * The React dashboard without a browser: happy-dom replaces the page, and each rendering is printed as one line of JSON.
 *
 *   npm install --prefix docs/examples
 *   export DASHBOARD_URL=http://127.0.0.1:5000
 *   export DASHBOARD_TOKEN=$(.venv/bin/dashboard token --role viewer --protocol P1)
 *   node docs/examples/dashboard-react/main.mjs P1
 *
 * In your own page only the last lines differ: `createRoot(document.getElementById("app")).render(…)`.
 */
import { Window } from "happy-dom";
import { StrictMode, createElement as h } from "react";
import { io } from "socket.io-client";
import { Dashboard } from "./dashboard.mjs";

const { DASHBOARD_URL: baseUrl, DASHBOARD_TOKEN: token } = process.env;
const [protocolId] = process.argv.slice(2);

const page = new Window();
Object.assign(globalThis, { window: page, document: page.document });
globalThis.navigator ??= page.navigator; // built in from Node 21
const { createRoot } = await import("react-dom/client"); // reads `window` and `document` when it is imported

const place = page.document.createElement("main");
page.document.body.append(place);
const show = () => console.log(JSON.stringify({ html: place.innerHTML }));
new page.MutationObserver(show).observe(place, { childList: true, characterData: true, attributes: true, subtree: true });

const root = createRoot(place);
root.render(h(StrictMode, null, h(Dashboard, { io, baseUrl, protocolId, token })));
process.on("SIGTERM", () => {
  root.unmount();
  process.exit(0);
});
