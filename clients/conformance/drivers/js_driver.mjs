// The driver of the JavaScript package for the conformance cases; README.md describes the protocol.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { Agent } from "../../js/src/agent.js";
import { RoomClient, Status } from "../../js/src/room-client.js";
import { sse } from "../../js/src/sse.js";

const { io } = createRequire(`${process.env.CLIENT_MODULES}/package.json`)("socket.io-client");
const { DASHBOARD_URL: baseUrl, PROTOCOL_ID: protocolId, AGENT_ID: agentId, ROLE, TRANSPORT } = process.env;
const FINAL = [Status.SIGNED_OUT, Status.ERROR];
const CLOSE_MS = 60_000;
let token = process.env.TOKEN;

const print = (type, members) => process.stdout.write(`${JSON.stringify({ type, ...members })}\n`);

function startRoom() {
  const transport = TRANSPORT === "sse" ? { transport: sse } : { io };
  const room = new RoomClient({ ...transport, baseUrl, protocolId, token: () => token });
  let shown = "";
  let status = "";
  room.onChange = () => {
    const state = room.snapshot();
    const text = JSON.stringify(state);
    if (state && text !== shown) print("state", { state });
    if (room.status !== status) print("status", { status: room.status });
    if (room.status !== status && FINAL.includes(room.status)) print("refused", room.error);
    [shown, status] = [text, room.status];
  };
  room.start();
  const renew = () => room.renew();
  return { token: renew, close: () => room.stop() };
}

function startAgent() {
  const agent = new Agent({ baseUrl, token: () => token, agentId, protocolId });
  const tasks = new Map();

  /** `run` is what users call; its work lasts until the command that ends it. */
  function begin({ task: name }) {
    const task = {};
    const work = new Promise((resolve, reject) => Object.assign(task, { resolve, reject }));
    const running = agent.run(name, (handle) => ((task.handle = handle), work)).catch(() => null);
    tasks.set(name, Object.assign(task, { running }));
  }

  const end = async ({ task: name, message }) => {
    const task = tasks.get(name);
    if (message === undefined) task.resolve();
    else task.reject(new Error(message));
    await task.running;
  };
  return {
    token: () => {},
    task: begin,
    progress: ({ task, progress }) => tasks.get(task).handle.progress(progress),
    complete: end,
    fail: end,
    file: ({ title, severity, ...details }) => void agent.file(title, severity, details).catch(() => null),
    close: () => agent.close({ timeoutMs: CLOSE_MS }),
  };
}

const commands = ROLE === "agent" ? startAgent() : startRoom();
for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  token = message.token ?? token;
  await commands[message.command](message);
  if (message.command === "close") break;
  print("done", { command: message.command });
}
process.exit(0);
