/** A refusal by the server, in its own words: `detail`, `code`, and `fields` (name → messages) of a 422. */
export class Problem extends Error {
  constructor(status, body = {}) {
    super(body.detail ?? `The server answered ${status}.`);
    Object.assign(this, { status, code: body.code ?? "ERROR", fields: body.errors ?? {}, requestId: body.requestId });
  }
}

const UNREACHABLE = { detail: "The server could not be reached. Nothing may have happened, or it may: trying again is safe." };

/** The REST API as whoever is signed in. */
export class Api {
  #token;

  /** @param {() => Promise<string>} token */
  constructor(token) {
    this.#token = token;
  }

  get(path) {
    return this.#call(path, { method: "GET" });
  }

  /** @param {string} key the Idempotency-Key: the same for each try of one intention */
  post(path, body, key) {
    const headers = { "Content-Type": "application/json", ...(key && { "Idempotency-Key": key }) };
    return this.#call(path, { method: "POST", headers, body: JSON.stringify(body) });
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

  async #call(path, { headers, ...options }) {
    const authorization = { Authorization: `Bearer ${await this.#token()}` };
    const answer = await fetch(`/api/v1${path}`, { ...options, headers: { ...headers, ...authorization } }).catch(() => null);
    if (!answer) throw new Problem(0, UNREACHABLE);
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Problem(answer.status, body);
    return body;
  }
}

/** A key for one intention; also where the page is not on a secure origin, and `randomUUID` is missing. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
