// The same progress reports, single and in batches, in Express and in Fastify: `node … MODULES express|fastify REDIS_PORT SCRIPT KEY KEYS` prints its port.
// As this project does: a verified token is remembered, the body is validated, one EVALSHA of the same script.
const { createHash } = require("crypto");
const { readFileSync } = require("fs");
const [modules, kind, redisPort, scriptPath, key, roomKeys] = process.argv.slice(2);
const load = (name) => require(require.resolve(name, { paths: [modules] }));
const { Redis } = load("ioredis");
const jwt = load("jsonwebtoken");
const { encode } = load("notepack.io");

const script = readFileSync(scriptPath, "utf8");
const sha = createHash("sha1").update(script).digest("hex");
const keys = JSON.parse(roomKeys); // of the room, for the script
const redis = new Redis(Number(redisPort), "127.0.0.1");
const id = { type: "string", pattern: "^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$" };
const properties = {
    protocolId: id,
    task: { type: "string", minLength: 1, maxLength: 200 },
    progress: { type: "number", minimum: 0, maximum: 100 },
    status: { const: "RUNNING" },
    estimatedCompletion: { type: ["string", "null"], format: "date-time" },
    nextTask: { type: ["string", "null"] },
};
const required = ["protocolId", "task", "progress"];
const schema = { type: "object", additionalProperties: false, required, properties };
const update = { ...schema, required: [...required, "agentId"], properties: { ...properties, agentId: id } };
const updates = { type: "array", minItems: 1, maxItems: 500, items: update };
const batch = { type: "object", additionalProperties: false, required: ["updates"], properties: { updates } };

const verified = new Map();
function caller(header) {
  const token = (header || "").slice("Bearer ".length);
  let claims = verified.get(token);
  if (!claims) verified.set(token, (claims = jwt.verify(token, key, { algorithms: ["HS256"] })));
  return claims;
}

function argumentsOf(agentId, report) {
  const done = report.estimatedCompletion;
  const data = {
    agentId,
    task: report.task,
    progress: String(report.progress),
    status: "RUNNING",
    estimatedCompletion: done ? new Date(done).toISOString() : null,
    error: null,
    nextTask: report.nextTask ?? null,
  };
  return [agentId, report.task, JSON.stringify(data).slice(0, -1)];
}

async function accept(agentId, report) {
  const taken = encode([report.protocolId, argumentsOf(agentId, report)]);
  await redis.evalsha(sha, keys.length, ...keys, report.protocolId, "", taken);
  return { accepted: "1" };
}

async function acceptBatch({ updates }) {
  const { protocolId } = updates[0];
  const taken = encode([protocolId, updates.flatMap((each) => argumentsOf(each.agentId, each))]);
  await redis.evalsha(sha, keys.length, ...keys, protocolId, "", taken);
  return { accepted: String(updates.length), rejected: [] };
}

const allowed = (claims, agentId) => claims.role === "admin" || claims.sub === agentId;

async function express() {
  const make = load("express");
  const Ajv = load("ajv");
  const ajv = new Ajv();
  load("ajv-formats")(ajv);
  const isValid = ajv.compile(schema);
  const isValidBatch = ajv.compile(batch);
  const app = make();
  app.use(make.json());
  app.post("/api/v1/agents/:id/progress", async (request, response) => {
    if (!allowed(caller(request.headers.authorization), request.params.id)) return response.status(403).end();
    if (!isValid(request.body)) return response.status(422).json(isValid.errors);
    response.status(202).json(await accept(request.params.id, request.body));
  });
  app.post("/api/v1/progress", async (request, response) => {
    const claims = caller(request.headers.authorization);
    if (!isValidBatch(request.body)) return response.status(422).json(isValidBatch.errors);
    if (!request.body.updates.every((each) => allowed(claims, each.agentId))) return response.status(403).end();
    response.status(202).json(await acceptBatch(request.body));
  });
  const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
  server.keepAliveTimeout = 60000;
}

async function fastify() {
  const app = load("fastify")({ keepAliveTimeout: 60000 });
  const answer = { 202: { type: "object", properties: { accepted: { type: "string" } } } };
  const options = { schema: { body: schema, response: answer } };
  app.post("/api/v1/agents/:id/progress", options, async (request, reply) => {
    if (!allowed(caller(request.headers.authorization), request.params.id)) return reply.code(403).send();
    reply.code(202);
    return accept(request.params.id, request.body);
  });
  app.post("/api/v1/progress", { schema: { body: batch } }, async (request, reply) => {
    const claims = caller(request.headers.authorization);
    if (!request.body.updates.every((each) => allowed(claims, each.agentId))) return reply.code(403).send();
    reply.code(202);
    return acceptBatch(request.body);
  });
  await app.listen({ port: 0, host: "127.0.0.1" });
  console.log(app.server.address().port);
}

redis.script("LOAD", script).then(() => ({ express, fastify })[kind]());
