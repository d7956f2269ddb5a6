/** A refused or failed request: `status` (0 without a response), and the server's `code` and `retryAfterMs`. */
export class RequestError extends Error {
  constructor(detail, { status = 0, code = "UNREACHABLE", retryAfterMs = 0 } = {}) {
    super(detail);
    Object.assign(this, { detail, status, code, retryAfterMs });
  }

  /** Whether the same request may succeed later. */
  get isPassing() {
    return [0, 408, 425, 429].includes(this.status) || this.status >= 500;
  }
}

/** GET a JSON body. Throws RequestError. */
export async function getJson(fetch, url, token, signal) {
  let answer;
  let body;
  try {
    answer = await fetch(url, { headers: { Authorization: `Bearer ${token}` }, signal });
    body = await answer.json();
  } catch (error) {
    if (answer?.ok !== false) throw new RequestError(error.message);
  }
  if (answer.ok) return body;
  const retryAfterMs = 1000 * (Number(answer.headers.get("Retry-After")) || 0); // a date, as some proxies send, counts as 0
  throw new RequestError(body?.detail ?? `HTTP ${answer.status}`, { status: answer.status, code: body?.code, retryAfterMs });
}
