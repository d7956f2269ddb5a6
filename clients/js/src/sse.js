import { ApiError, send } from "./request.js";
import { Schedule } from "./room/schedule.js";

const SILENCE_MS = 35_000; // the server sends something at least every 15 s
const STEADY_MS = 5_000; // a stream that ends sooner counts as a failure
const MAX_EVENT_CHARACTERS = 16_000_000;

/**
 * The transport that receives the room as a plain stream (Server-Sent Events) through `fetch`, for places where Socket.IO
 * is not wanted or not possible:
 *
 *   new RoomClient({ transport: sse, protocolId: "P1", token });
 */
export const sse = (options) => new StreamConnection(options);

/** One stream at a time: opens it again when it ends, and ends it when nothing is heard. */
class StreamConnection {
  transport = "stream";
  isSilent = false; // a silent stream is opened anew
  isOpen = false;
  /** The time of the last sign of the server, in milliseconds since 1970. */
  heardAt = null;

  #options;
  #schedule;
  #protocolId;
  #isWanted = false;
  #running = null;
  #replaced = null; // the stream with the old token, until the new one has begun
  #openedAt = 0;
  #silenceMs;

  /**
   * @param {object} options `fetch`, `baseUrl`, `protocolId`, `agentBatches`, `token` (an async function), `timeoutMs`, optionally
   *   `streamSilenceMs`, and the callbacks `onState(state)`, `onMessage(event)`, `onLost()`, `onRefused({code, detail, isFinal})`
   */
  constructor(options) {
    this.#options = options;
    this.#protocolId = options.protocolId;
    this.#schedule = new Schedule(options);
    this.#silenceMs = options.streamSilenceMs ?? SILENCE_MS;
  }

  get protocolId() {
    return this.#protocolId;
  }

  get agentBatches() {
    return this.#options.agentBatches;
  }

  open() {
    this.#isWanted = true;
    this.#abort();
    this.#connect();
  }

  close() {
    this.#isWanted = false;
    this.#drop();
  }

  async join(protocolId) {
    this.#protocolId = protocolId;
    this.isOpen = false;
    this.#abort();
    if (this.#isWanted) this.#connect();
  }

  /** The token of a stream cannot be exchanged: a new stream replaces it, and begins with the state. */
  async renew() {
    if (!this.isOpen) return;
    this.#abortReplaced();
    this.#replaced = this.#running;
    this.#connect();
  }

  #drop() {
    this.#schedule.cancelAll();
    this.isOpen = false;
    this.#abort();
    this.#running = null;
  }

  #abort() {
    this.#running?.abort();
    this.#abortReplaced();
  }

  #abortReplaced() {
    this.#replaced?.abort();
    this.#replaced = null;
  }

  async #connect() {
    this.#schedule.cancelAll();
    const running = (this.#running = Object.assign(new AbortController(), { heardAt: Date.now() }));
    const failure = await this.#read(running).catch((error) => error);
    if (running !== this.#running) return;
    this.#end(failure instanceof ApiError ? failure : new ApiError(failure.message));
  }

  async #read(running) {
    const { fetch, baseUrl, token, timeoutMs, agentBatches } = this.#options;
    this.#watch(running, timeoutMs);
    const query = agentBatches ? "?agentBatches=true" : "";
    const url = `${baseUrl}/api/v1/protocols/${encodeURIComponent(this.#protocolId)}/events${query}`;
    const request = { headers: { Accept: "text/event-stream" }, cache: "no-store", signal: running.signal };
    const answer = await send(fetch, url, await token(), request);
    if (!answer.headers.get("Content-Type")?.startsWith("text/event-stream")) throw new ApiError("This is not an event stream.");
    const isCurrent = () => running === this.#running || running === this.#replaced;
    const parse = eventParser((name, data) => isCurrent() && this.#onEvent(name, JSON.parse(data), running));
    const decoder = new TextDecoder();
    const reader = answer.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (!isCurrent()) return;
      if (done) throw new ApiError("The stream has ended.");
      running.heardAt = this.heardAt = Date.now();
      parse(decoder.decode(value, { stream: true }));
    }
  }

  #onEvent(name, message, running) {
    const { onState, onMessage } = this.#options;
    if (name === "state") {
      if (!this.isOpen) this.#openedAt = Date.now();
      this.isOpen = true;
      if (running === this.#running) {
        this.#abortReplaced();
        this.#watch(running, this.#silenceMs);
      }
      isolated(onState, message);
    } else if (message?.seq && message.protocolId === this.#protocolId) isolated(onMessage, message);
  }

  /** End a stream of which nothing was heard for so long. */
  #watch(running, milliseconds) {
    const check = () => {
      const left = running.heardAt + milliseconds - Date.now();
      if (left > 0) this.#schedule.later("silence", left, check);
      else running.abort(new ApiError("The server does not answer."));
    };
    this.#schedule.cancel("silence");
    check();
  }

  #end(error) {
    const { onLost, onRefused } = this.#options;
    const wasOpen = this.isOpen;
    if (wasOpen && Date.now() - this.#openedAt > STEADY_MS) this.#schedule.succeeded();
    this.#drop();
    if (!error.isPassing) return onRefused({ code: CODES[error.status] ?? error.code, detail: error.detail, isFinal: true });
    this.#schedule.later("connect", Math.max(error.retryAfterMs, this.#schedule.backoff()), () => this.#connect());
    if (wasOpen) onLost();
    else onRefused({ code: error.code, detail: error.detail });
  }
}

/** The codes of Socket.IO's refusals for the same reasons. */
const CODES = { 401: "UNAUTHORIZED", 403: "INVALID_PROTOCOL", 404: "INVALID_PROTOCOL" };

/** Call back; an error that is thrown there is the application's and does not end the stream. */
function isolated(callback, value) {
  try {
    callback(value);
  } catch (error) {
    setTimeout(() => {
      throw error;
    });
  }
}

/**
 * Splits the text of a stream into events (WHATWG HTML 9.2.6): returns a function that takes the text piece by piece.
 * @param {(name: string, data: string) => void} onEvent
 */
export function eventParser(onEvent) {
  let rest = "";
  let name = "";
  let data = [];
  let size = 0; // characters of `data`
  const take = (line) => {
    if (line === "") {
      if (data.length) onEvent(name || "message", data.join("\n"));
      [name, data, size] = ["", [], 0];
      return;
    }
    const [, field, value] = /^([^:]*)(?:: ?)?(.*)$/s.exec(line);
    if (field === "data") {
      data.push(value);
      size += value.length + 1;
    }
    if (field === "event") name = value;
  };
  return (text) => {
    const all = rest + text;
    const end = all.endsWith("\r") ? all.length - 1 : all.length; // its line feed may follow
    const lines = all.slice(0, end).split(/\r\n|\r|\n/);
    rest = lines.pop() + all.slice(end);
    lines.forEach(take);
    if (rest.length + size > MAX_EVENT_CHARACTERS) throw new ApiError("An event of the stream is too large.");
  };
}
