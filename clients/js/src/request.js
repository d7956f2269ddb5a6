const LONGEST_PAUSE_MS = 3_600_000;

/** A refused or failed request: `status` is 0 without a response; `code`, `requestId` and `errors` are the server's. */
export class ApiError extends Error {
  name = "ApiError";

  constructor(detail, { status = 0, code = "UNREACHABLE", requestId = null, errors = null, retryAfterMs = 0 } = {}) {
    super(detail);
    Object.assign(this, { detail, status, code, requestId, errors, retryAfterMs });
  }

  /** What the server asks to wait, in seconds; 0 if it does not. */
  get retryAfter() {
    return this.retryAfterMs / 1000;
  }

  /** Whether the same request may succeed later. */
  get isPassing() {
    const isStillRunning = this.code === "IDEMPOTENCY_KEY_IN_USE"; // the same request, sent before
    return isStillRunning || [0, 408, 425, 429].includes(this.status) || this.status >= 500;
  }
}

/** Send a request; returns the response to a successful one. Throws ApiError. */
export async function send(fetch, url, token, options) {
  const headers = { ...options.headers, Authorization: `Bearer ${token}` };
  const answer = await fetch(url, { ...options, headers }).catch(fail);
  if (answer.ok) return answer;
  const { detail = `HTTP ${answer.status}`, code, requestId, errors } = (await answer.json().catch(() => null)) ?? {};
  const retryAfterMs = pauseOf(answer.headers.get("Retry-After"));
  throw new ApiError(detail, { status: answer.status, code, requestId, errors, retryAfterMs });
}

/** GET a JSON body. Throws ApiError. */
export async function getJson(fetch, url, token, signal) {
  return (await send(fetch, url, token, { signal })).json().catch(fail);
}

function fail(error) {
  throw new ApiError(error.message);
}

/** Retry-After is a number of seconds or, from some proxies, a date. */
function pauseOf(header) {
  const asked = Number(header) * 1000 || Date.parse(header) - Date.now() || 0;
  return Math.min(Math.max(asked, 0), LONGEST_PAUSE_MS);
}
