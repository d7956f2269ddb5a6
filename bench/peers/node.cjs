// socket.io 4 on Node: `node node.cjs MODULES REDIS_PORT ws|uws` prints its port. Every client is put in room "bench".
// With a fourth argument, the key, a client needs a token (HS256) and joins the room of its `protocolId`, if that is granted.
const { createRequire } = require("node:module");
const [modules, redisPort, engine, key] = process.argv.slice(2);
const load = createRequire(`${modules}/package.json`);
const { Server } = load("socket.io");
const { createClient } = load("redis");
const { createAdapter } = load("@socket.io/redis-adapter");
load("bufferutil");
const jwt = load("jsonwebtoken");

function authenticate(socket, next) {
  const { token, protocolId } = socket.handshake.auth;
  jwt.verify(token, key, { algorithms: ["HS256"] }, (error, claims) => {
    if (error || !claims.protocols.includes(protocolId)) return next(new Error("UNAUTHORIZED"));
    socket.data = { claims, protocolId };
    next();
  });
}

async function main() {
  const publisher = createClient({ url: `redis://127.0.0.1:${redisPort}` });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  const io = new Server({
    adapter: createAdapter(publisher, subscriber),
    pingInterval: 300000,
    pingTimeout: 200000,
    transports: ["websocket"],
  });
  if (key) io.use(authenticate);
  io.on("connection", (socket) => socket.join(key ? socket.data.protocolId : "bench"));
  if (engine === "uws") {
    const { App } = load("@trufflesuite/uws-js-unofficial");
    const app = App();
    io.attachApp(app);
    app.listen("127.0.0.1", 0, (token) => {
      const { us_socket_local_port: portOf } = load("@trufflesuite/uws-js-unofficial");
      console.log(portOf(token));
    });
  } else {
    const http = require("node:http").createServer();
    io.attach(http);
    http.listen(0, "127.0.0.1", 2048, () => console.log(http.address().port));
  }
}

main();
