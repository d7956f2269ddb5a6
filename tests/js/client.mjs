// Many Socket.IO clients in one process, driven by JSON lines: commands on stdin, responses and events on stdout.
// Command: {id, op, socket, …}. Response: {id, ok, …}. Event: {socket, event, args, at}; `at` is epoch milliseconds.
// The client's own events are reported as well: $connect, $disconnect, $connect_error.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { io } = createRequire(process.env.CLIENT_MODULES + "/package.json")("socket.io-client");

const sockets = new Map();
const now = () => performance.timeOrigin + performance.now();
const write = (message) => process.stdout.write(JSON.stringify(message) + "\n");
const tcp = (socket) => socket.io.engine.transport.ws._socket;
const describe = (error) => ({ message: error.message, data: error.data ?? null });

function watch(name, socket) {
  const report = (event, args) => write({ socket: name, event, args, at: now() });
  socket.onAny((event, ...args) => report(event, args));
  socket.on("connect", () => report("$connect", [socket.id]));
  socket.on("disconnect", (reason) => report("$disconnect", [reason]));
  socket.on("connect_error", (error) => report("$connect_error", [describe(error)]));
}

function settled(socket) {
  return new Promise((resolve) => {
    const finish = (answer) => {
      socket.off("connect", connected);
      socket.off("connect_error", refused);
      resolve(answer);
    };
    const connected = () => finish({ ok: true, sid: socket.id });
    const refused = (error) => finish({ ok: false, error: describe(error) });
    socket.on("connect", connected);
    socket.on("connect_error", refused);
  });
}

const operations = {
  connect({ socket: name, url, options }) {
    const socket = io(url, { forceNew: true, autoConnect: false, reconnection: false, ...options });
    sockets.set(name, socket);
    watch(name, socket);
    return operations.reconnect({ socket: name });
  },
  reconnect({ socket: name, auth }) {
    const socket = sockets.get(name);
    if (auth) socket.auth = auth;
    const answer = settled(socket);
    socket.connect();
    return answer;
  },
  async emit({ socket: name, event, args, timeout }) {
    try {
      const ack = await sockets.get(name).timeout(timeout).emitWithAck(event, ...args);
      return { ok: true, ack };
    } catch (error) {
      return { ok: false, error: describe(error) };
    }
  },
  send({ socket: name, event, args }) {
    sockets.get(name).emit(event, ...args);
    return { ok: true };
  },
  disconnect({ socket: name }) {
    sockets.get(name).disconnect();
    return { ok: true };
  },
  forget({ socket: name }) {
    // No more reconnections, and at once: a paused connection would not be closed for 30 seconds.
    const socket = sockets.get(name);
    const connection = socket.io.engine?.transport?.ws?._socket;
    socket.disconnect();
    connection?.destroy();
    sockets.delete(name);
    return { ok: true };
  },
  cut({ socket: name }) {
    // Break the network connection: no close frame, and the client notices at once.
    tcp(sockets.get(name)).destroy();
    return { ok: true };
  },
  pause({ socket: name }) {
    tcp(sockets.get(name)).pause();
    return { ok: true };
  },
  resume({ socket: name }) {
    tcp(sockets.get(name)).resume();
    return { ok: true };
  },
  state({ socket: name }) {
    const { connected, id, io: manager } = sockets.get(name);
    return { ok: true, connected, sid: id ?? null, transport: manager.engine?.transport?.name ?? null };
  },
};

createInterface({ input: process.stdin }).on("line", async (line) => {
  const command = JSON.parse(line);
  try {
    write({ id: command.id, ...(await operations[command.op](command)) });
  } catch (error) {
    write({ id: command.id, ok: false, error: describe(error) });
  }
});
process.stdin.on("end", () => process.exit(0));
