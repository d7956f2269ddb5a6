import assert from "node:assert/strict";
import { test } from "node:test";
import { RequestError, getJson } from "../src/room/request.js";

const refusal = async (status, headers) => {
  const fetch = async () => new Response("{}", { status, headers });
  return getJson(fetch, "http://x/", "T").then(() => assert.fail("it was refused"), (error) => error);
};

test("Retry-After in seconds is obeyed, and one with a date is ignored", async () => {
  assert.equal((await refusal(503, { "Retry-After": "3" })).retryAfterMs, 3000);
  for (const header of [{ "Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT" }, { "Retry-After": "" }, {}])
    assert.equal((await refusal(503, header)).retryAfterMs, 0);
});

test("408, 425, 429 and 5xx are retryable, and no other 4xx is", async () => {
  for (const status of [408, 425, 429, 500, 503]) assert.equal((await refusal(status)).isPassing, true, status);
  for (const status of [400, 401, 403, 404, 422]) assert.equal((await refusal(status)).isPassing, false, status);
  assert.equal(new RequestError("no answer").isPassing, true);
});
