#!/usr/bin/env node
// A receiver of webhooks that verifies and deduplicates; it needs nothing but Node 20.
//
//     WEBHOOK_SECRET=whsec_… node receiver.mjs 8099 webhooks.ids
//
// The rules are those of receiver.py beside it.
import { createHmac, timingSafeEqual } from "node:crypto";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";

const MAX_AGE_SECONDS = 300;
const MAX_BODY = 1024 * 1024;
const [port = "8099", file = "webhooks.ids"] = process.argv.slice(2);
const key = Buffer.from(process.env.WEBHOOK_SECRET.replace("whsec_", ""), "base64");
const known = new Set(existsSync(file) ? readFileSync(file, "utf8").split("\n") : []);

/** Standard Webhooks: base64 HMAC-SHA256 of `<id>.<timestamp>.<body>`; of several signatures one has to fit. */
function isGenuine(headers, body) {
  const { "webhook-id": id = "", "webhook-timestamp": timestamp = "", "webhook-signature": given = "" } = headers;
  if (!/^\d+$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > MAX_AGE_SECONDS) return false;
  const wanted = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest();
  return given.split(" ").some((each) => {
    const signature = Buffer.from(each.replace(/^v1,/, ""), "base64");
    return each.startsWith("v1,") && signature.length === wanted.length && timingSafeEqual(signature, wanted);
  });
}

/** Replace this by what shall happen. If it takes long, store the event and answer first. */
function handle(event) {
  console.log(JSON.stringify(event));
}

async function receive(request) {
  const pieces = [];
  let length = 0;
  for await (const piece of request) {
    length += piece.length;
    if (length > MAX_BODY) return 413;
    pieces.push(piece);
  }
  const body = Buffer.concat(pieces);
  if (!isGenuine(request.headers, body)) return 401;
  const id = request.headers["webhook-id"];
  if (!known.has(id)) {
    handle(JSON.parse(body)); // an error leaves the id unknown: the delivery is repeated
    known.add(id);
    appendFileSync(file, `${id}\n`);
  }
  return 204;
}

const server = createServer(async (request, response) => {
  response.statusCode = await receive(request).catch((error) => (console.error(error), 503));
  response.end();
});
server.listen(Number(port), "127.0.0.1", () => console.log(`ready: http://127.0.0.1:${server.address().port}`));
