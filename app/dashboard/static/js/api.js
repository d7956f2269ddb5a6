import { Intentions } from "./intentions.js";

/** A refusal by the server, in its own words: `detail`, `code`, and `fields` (name → messages) of a 422; or no answer: `status` 0. */
export class Problem extends Error {
  constructor(status, body = {}, retryAfterMs = 0) {
    super(body.detail ?? `The server answered ${status}.`);
    const { code = "ERROR", errors: fields = {}, currentStatus, requestId } = body;
    Object.assign(this, { status, code, fields, currentStatus, requestId, retryAfterMs });
  }

  /** Whether the same request may succeed later; what a POST has done is not known then. */
  get isPassing() {
    return PASSING.has(this.status) || this.status >= 500 || this.code === "IDEMPOTENCY_KEY_IN_USE";
  }
}

const PASSING = new Set([0, 408, 429]);
const TIMEOUT_MS = { GET: 15_000, POST: 30_000 };
const UNANSWERED = {
  GET: "The server could not be reached.",
  POST: "No answer came: it may have been done, or not. Send the same again to be sure: it is done once however often it is sent.",
};

/** The REST API as whoever is signed in. */
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
   * One intention keeps one Idempotency-Key until its answer is definite, however often it is sent.
   * Returns `{body, isReplay}`; `isReplay`: an earlier try had been done already.
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

  /** The items of a list, page by page, at most `most`. */
  async *pages(path, most) {
    const url = path + (path.includes("?") ? "&" : "?");
    let cursor = "";
    for (let seen = 0; seen < most; ) {
      const page = await this.get(`${url}limit=${Math.min(200, most)}${cursor}`);
      yield page.items;
      seen += page.items.length;
      if (!page.nextCursor) return;
      cursor = `&cursor=${encodeURIComponent(page.nextCursor)}`;
    }
  }

  async #call(method, path, { headers, body } = {}) {
    const authorization = { Authorization: `Bearer ${await this.#session.token()}` };
    const signal = AbortSignal.timeout(TIMEOUT_MS[method]);
    const request = { method, body, signal, headers: { ...headers, ...authorization } };
    const answer = await fetch(`/api/v1${path}`, request).catch(() => null);
    const answered = await answer?.json().catch(() => null);
    if (!answer || (answer.ok && !answered)) throw new Problem(0, { detail: UNANSWERED[method] });
    if (!answer.ok) throw new Problem(answer.status, answered ?? {}, 1000 * Number(answer.headers.get("Retry-After") ?? 0));
    return { body: answered, isReplay: answer.headers.has("Idempotent-Replayed") };
  }
}
