import { ApiError, send } from "./request.js";
import { OPERATIONS } from "./rest/operations.js";
import { Schedule } from "./room/schedule.js";
import { newKey, tokenReader } from "./token.js";

export { ApiError };

const DEFAULTS = {
  baseUrl: "",
  timeoutMs: 30_000, // of an attempt
  retries: 5, // attempts after the first one
  retryMs: 500, // first pause after a failure; doubles up to `retryCapMs`
  retryCapMs: 10_000,
  maxPauseMs: 60_000, // a longer Retry-After is not waited for
  jitterMs: 0,
};

/**
 * Every operation of the REST API as a method, named by its `operationId`:
 *
 *   const rest = new RestClient({ baseUrl, token });
 *   await rest.createDeposit({ protocolId: "P1", body: { amount: "1000.00" } });
 *   for await (const finding of rest.listVulnerabilities({ protocolId: "P1", status: "PENDING" })) …
 *
 * Path and query parameters are members of the first argument, the body is its member `body`. A refusal throws ApiError.
 * What is safe to send again is retried with growing random pauses and the server's Retry-After; each request that changes
 * something gets an Idempotency-Key.
 */
export class RestClient {
  #options;

  static {
    for (const [name, { isPaged }] of Object.entries(OPERATIONS))
      this.prototype[name] = function call(parameters, options) {
        return isPaged ? new Pages(this, name, parameters, options) : this.call(name, parameters, options);
      };
  }

  /**
   * @param {object} options `token`: a string, or a function that returns one or a promise of one; optionally `fetch` and
   *   any of `DEFAULTS`
   */
  constructor(options) {
    const fetch = (...args) => globalThis.fetch(...args);
    this.#options = { fetch, ...DEFAULTS, ...options, token: tokenReader(options.token) };
  }

  /** The body of the response: parsed JSON, a text, or null if there is none. Throws ApiError. */
  call(name, parameters, options) {
    return this.#attempts(name, parameters, options, bodyOf);
  }

  /** The response itself, for example to stream a list as CSV (`{ accept: "text/csv" }`). Throws ApiError. */
  request(name, parameters, options) {
    return this.#attempts(name, parameters, options, (response) => response);
  }

  async #attempts(name, parameters, options, read) {
    const { fetch, baseUrl, token, retries, timeoutMs } = this.#options;
    const { path, init, isRepeatable } = describe(name, parameters, options);
    const schedule = new Schedule(this.#options);
    for (let left = retries; ; left -= 1) {
      const limits = [AbortSignal.timeout(timeoutMs), options?.signal].filter(Boolean);
      const request = { ...init, signal: AbortSignal.any(limits) };
      try {
        return await read(await send(fetch, baseUrl + path, await token(), request));
      } catch (error) {
        options?.signal?.throwIfAborted();
        const pause = Math.max(error.retryAfterMs, schedule.backoff());
        const isHopeless = !(left > 0 && mayRepeat(error, isRepeatable) && pause <= this.#options.maxPauseMs);
        if (isHopeless) throw error;
        await rest(pause, options?.signal);
      }
    }
  }
}

/** A list: `await` it for one page, `{items, nextCursor}`, or iterate over the items of all pages. */
class Pages {
  #client;
  #arguments;

  constructor(client, ...given) {
    this.#client = client;
    this.#arguments = given;
  }

  then(resolve, reject) {
    return this.#client.call(...this.#arguments).then(resolve, reject);
  }

  async *[Symbol.asyncIterator]() {
    const [name, parameters, options] = this.#arguments;
    for (let cursor = parameters?.cursor; ; ) {
      const page = await this.#client.call(name, { limit: 200, ...parameters, cursor }, options);
      yield* page.items;
      cursor = page.nextCursor;
      if (!cursor) return;
    }
  }
}

/** 429 was not carried out; of other failures that is unknown. */
function mayRepeat(error, isRepeatable) {
  if (!(error instanceof ApiError)) return false;
  return error.status === 429 || (isRepeatable && error.isPassing);
}

/** The request of an operation. Throws TypeError for a parameter that is missing or that it does not have. */
function describe(name, given, options) {
  const { body, ...parameters } = given ?? {};
  const { idempotencyKey = newKey(), accept = "application/json" } = options ?? {};
  const { method, path, query = [], hasKey = false } = OPERATIONS[name] ?? raise(`There is no operation ${name}.`);
  const left = new Map(Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null));
  const take = (key) => {
    const value = left.get(key) ?? raise(`${name} needs ${key}.`);
    left.delete(key);
    return encodeURIComponent(value);
  };
  const target = path.replace(/\{(\w+)\}/g, (_, key) => take(key));
  const unknown = [...left.keys()].filter((key) => !query.includes(key));
  if (unknown.length) raise(`${name} has no parameter ${unknown.join(", ")}.`);
  const asked = left.size ? `?${new URLSearchParams([...left].map(([key, value]) => [key, String(value)]))}` : "";
  const headers = { Accept: accept, ...(body !== undefined && { "Content-Type": "application/json" }), ...(hasKey && { "Idempotency-Key": idempotencyKey }) };
  const init = { method, headers, body: body === undefined ? undefined : JSON.stringify(body) };
  return { path: target + asked, init, isRepeatable: hasKey || method !== "POST" };
}

function raise(message) {
  throw new TypeError(message);
}

async function bodyOf(response) {
  const type = response.headers.get("Content-Type") ?? "";
  const text = await response.text().catch((error) => {
    throw new ApiError(error.message);
  });
  if (!text) return null;
  try {
    return type.includes("json") ? JSON.parse(text) : text;
  } catch (error) {
    throw new ApiError(error.message);
  }
}

/** Resolves after a pause; rejects when the signal is aborted. */
function rest(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
