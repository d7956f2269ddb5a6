import { Intentions } from "./intentions.js";

/** An error response: `message`, `code`, and `fields` (name → messages) of a 422; `status` is 0 if no response came. */
export class Problem extends Error {
  constructor(status, body = {}, retryAfterMs = 0) {
    super(body.detail ?? `The server answered ${status}.`);
    const { code = "ERROR", errors: fields = {}, currentStatus, requestId } = body;
    Object.assign(this, { status, code, fields, currentStatus, requestId, retryAfterMs });
  }

  /** Whether the same request may succeed later. The effect of a POST is unknown in that case. */
  get isPassing() {
    return PASSING.has(this.status) || this.status >= 500 || this.code === "IDEMPOTENCY_KEY_IN_USE";
  }
}

const PASSING = new Set([0, 408, 429]);
const TIMEOUT_MS = { GET: 15_000, POST: 30_000, DELETE: 30_000 };
const UNANSWERED = {
  GET: "The server could not be reached.",
  DELETE: "No answer came: it may have been done, or not. Sending it again does no harm.",
  POST: "No answer came: it may have been done, or not. Send the same again to be sure: it is done once however often it is sent.",
};

/** The REST API, called as the signed-in user. */
export class Api {
  #session;
  #intentions;

  /** @param {{subject: string, token: () => Promise<string>}} session */
  constructor(session, intentions = new Intentions()) {
    this.#session = session;
    this.#intentions = intentions;
  }

  async get(path) {
    return (await this.#call("GET", path)).body;
  }

  /**
   * A request keeps its Idempotency-Key until it has a definite response, however often it is sent.
   * Returns `{body, isReplay}`; `isReplay` means that an earlier attempt had already taken effect.
   */
  async post(path, body) {
    const text = JSON.stringify(body);
    const intention = `${this.#session.subject} ${path} ${text}`;
    const headers = { "Content-Type": "application/json", "Idempotency-Key": this.#intentions.key(intention) };
    const forget = () => this.#intentions.forget(intention);
    try {
      const answer = await this.#call("POST", path, { headers, body: text });
      forget();
      return answer;
    } catch (problem) {
      if (!problem.isPassing) forget();
      throw problem;
    }
  }

  async delete(path) {
    return this.#call("DELETE", path);
  }

  /** The items of a list, page by page, at most `max`. */
  async *pages(path, max) {
    const url = path + (path.includes("?") ? "&" : "?");
    let cursor = "";
    for (let seen = 0; seen < max; ) {
      const page = await this.get(`${url}limit=${Math.min(200, max)}${cursor}`);
      yield page.items;
      seen += page.items.length;
      if (!page.nextCursor) return;
      cursor = `&cursor=${encodeURIComponent(page.nextCursor)}`;
    }
  }

  /** GET that is answered only if it changed: `{body, tag}`, or null while the entity tag is still `tag`. */
  async getIfChanged(path, tag) {
    const answer = await this.#fetch("GET", path, { headers: tag ? { "If-None-Match": tag } : {} });
    if (answer.status === 304) return null;
    return { body: await bodyOf(answer, "GET"), tag: answer.headers.get("ETag") };
  }

  /** The successful response to a GET with these headers, to be read by the caller. */
  async open(path, headers, signal) {
    const answer = await this.#fetch("GET", path, { headers, signal });
    if (!answer.ok) await bodyOf(answer, "GET");
    return answer;
  }

  async #call(method, path, options) {
    const answer = await this.#fetch(method, path, options);
    return { body: await bodyOf(answer, method), isReplay: answer.headers.has("Idempotent-Replayed") };
  }

  async #fetch(method, path, { headers, body, signal = AbortSignal.timeout(TIMEOUT_MS[method]) } = {}) {
    const authorization = { Authorization: `Bearer ${await this.#session.token()}` };
    const request = { method, body, signal, headers: { ...headers, ...authorization } };
    const answer = await fetch(`/api/v1${path}`, request).catch(() => null);
    if (!answer) throw new Problem(0, { detail: UNANSWERED[method] });
    return answer;
  }
}

/** The JSON body of a successful response; throws the Problem of another one. */
async function bodyOf(answer, method) {
  if (answer.status === 204) return {};
  const body = await answer.json().catch(() => null);
  if (answer.ok && !body) throw new Problem(0, { detail: UNANSWERED[method] });
  if (!answer.ok) throw new Problem(answer.status, body ?? {}, 1000 * Number(answer.headers.get("Retry-After") ?? 0));
  return body;
}
