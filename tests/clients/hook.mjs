// The hook in a page of happy-dom, with React or, if `RENDERER` is "preact", with Preact in React's place. Run by
// test_js_package.py, beside room.mjs and waiting.mjs of clients/js/test.
import assert from "node:assert/strict";
import { useRoom } from "@dashboard-realtime/client/react";
import { Window } from "happy-dom";
import { Room } from "./room.mjs";
import { until } from "./waiting.mjs";

const page = new Window();
Object.assign(globalThis, { window: page, document: page.document });
globalThis.navigator ??= page.navigator; // built in from Node 21
const { StrictMode, createElement } = await import("react");
const place = page.document.createElement("main");
page.document.body.append(place);

async function renderer() {
  if (process.env.RENDERER === "preact") {
    const { render } = await import("preact");
    return (element) => render(element, place);
  }
  const root = (await import("react-dom/client")).createRoot(place);
  return (element) => root.render(element);
}

const render = await renderer();
const room = new Room();
const events = [];
const ROOM = { io: room.io, fetch: room.fetch, jitterMs: 1, restMs: 1, retryMs: 2 };
let renders = 0;

function View(options) {
  renders += 1;
  // An inline function and new objects at each rendering must not close the room.
  const { status, state, error } = useRoom({ ...ROOM, socketOptions: {}, onEvent: (event) => events.push(event), ...options });
  return createElement("p", { id: status.replace(" ", "-") }, state?.pool.total ?? error?.code ?? "nothing");
}

const show = (options) => render(createElement(StrictMode, null, createElement(View, options)));
const shown = () => place.textContent;

show({ protocolId: null, token: "T" });
await until(() => shown() === "nothing");
assert.equal(room.handshakes.length, 0, "without a protocol there is no connection");

show({ protocolId: "P1", token: "first" });
await until(() => shown() === "0.00");
room.send(room.deposit(5));
await until(() => shown() === "5.00");
assert.equal(room.connections.size, 1);
assert.equal(events.length, 1);

const connections = room.handshakes.length;
show({ protocolId: "P1", token: "second" });
await until(() => room.renewed.length === 1);
assert.deepEqual(room.renewed, ["second"]);
let calls = 0;
const inline = () => show({ protocolId: "P1", token: () => ((calls += 1), "third") });
inline();
inline();
room.send(room.deposit(1));
await until(() => shown() === "6.00");
assert.equal(room.handshakes.length, connections, "the connection is kept");

room.refusal = { code: "UNAUTHORIZED", detail: "Expired." };
room.cut("io server disconnect");
await until(() => place.querySelector("#signed-out"));
room.refusal = null;
show({ protocolId: "P1", token: "fourth" });
await until(() => place.querySelector("#live"));

show({ protocolId: "P2", token: "fourth" });
await until(() => room.handshakes.at(-1).protocolId === "P2" && place.querySelector("#live"));
await until(() => room.connections.size === 1);

const before = renders;
assert.ok(before < 60, `${before} renderings`);
render(null);
await until(() => room.connections.size === 0);
console.log("passed");
process.exit(0);
