import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, getJson } from "../src/request.js";

const refusal = async (status, headers) => {
  const fetch = async () => new Response("{}", { status, headers });
  return getJson(fetch, "http://x/", "T").then(() => assert.fail("it was refused"), (error) => error);
};

test("Retry-After is obeyed, in seconds or as a date, for an hour at most", async () => {
  assert.equal((await refusal(503, { "Retry-After": "3" })).retryAfterMs, 3000);
  assert.equal((await refusal(503, { "Retry-After": "9999999" })).retryAfterMs, 3_600_000);
  const { retryAfterMs } = await refusal(503, { "Retry-After": new Date(Date.now() + 60_000).toUTCString() });
  assert.ok(retryAfterMs > 50_000 && retryAfterMs <= 60_000, retryAfterMs);
  for (const header of [{ "Retry-After": "Wed, 21 Oct 2020 07:28:00 GMT" }, { "Retry-After": "" }, { "Retry-After": "soon" }, {}])
    assert.equal((await refusal(503, header)).retryAfterMs, 0);
});

test("an error names the server's code, request and fields", async () => {
  const body = { detail: "No.", code: "VALIDATION_ERROR", requestId: "R1", errors: { amount: ["Too small."] } };
  const fetch = async () => new Response(JSON.stringify(body), { status: 422 });
  const { message, name, status, code, requestId, errors } = await getJson(fetch, "http://x/", "T").catch((error) => error);
  assert.deepEqual({ detail: message, code, requestId, errors }, body);
  assert.deepEqual([name, status], ["ApiError", 422]);
});

test("408, 425, 429 and 5xx are retryable, and no other 4xx is", async () => {
  for (const status of [408, 425, 429, 500, 503]) assert.equal((await refusal(status)).isPassing, true, status);
  for (const status of [400, 401, 403, 404, 422]) assert.equal((await refusal(status)).isPassing, false, status);
  assert.equal(new ApiError("no answer").isPassing, true);
  assert.equal(new ApiError("still running", { status: 409, code: "IDEMPOTENCY_KEY_IN_USE" }).isPassing, true);
});
