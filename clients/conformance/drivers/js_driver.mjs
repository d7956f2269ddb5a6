// The driver of the JavaScript package for the conformance cases; README.md describes the protocol.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { RoomClient, Status } from "../../js/src/room-client.js";

const { io } = createRequire(`${process.env.CLIENT_MODULES}/package.json`)("socket.io-client");
const { DASHBOARD_URL: baseUrl, PROTOCOL_ID: protocolId } = process.env;
const FINAL = [Status.SIGNED_OUT, Status.ERROR];
let token = process.env.TOKEN;

const print = (type, members) => process.stdout.write(`${JSON.stringify({ type, ...members })}\n`);

function startRoom() {
  const room = new RoomClient({ io, baseUrl, protocolId, token: () => token });
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
  return {
    token: (message) => {
      token = message.token;
      room.renew();
    },
    close: () => room.stop(),
  };
}

const commands = startRoom();
for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  await commands[message.command](message);
  if (message.command === "close") break;
}
process.exit(0);
