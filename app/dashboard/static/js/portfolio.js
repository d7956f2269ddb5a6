import { Status } from "../vendor/client/room-client.js";
import { RetryingRead } from "./retrying-read.js";

const PAGE = 200;
const MAX_PAGES = 5; // the page lists at most 1,000 protocols
const STALE_MS = 30_000; // several polls, and a slow answer

/** The reader's protocols at a glance, those that need attention first. The view polls it with `load`. */
export class Portfolio extends RetryingRead {
  items = [];
  isRead = false;
  /** When the last page was read, in milliseconds since 1970. */
  readAt = null;

  #api;
  #isReading = false;
  #pages = [];

  /** @param {object} [pauses] see RetryingRead */
  constructor(api, onChange, pauses) {
    super(() => this.#read(), onChange, pauses);
    this.#api = api;
  }

  /** As of a room: LIVE while the last read was a moment ago. */
  get status() {
    if (!this.isRead) return Status.CONNECTING;
    return Date.now() - this.readAt < STALE_MS ? Status.LIVE : Status.RECONNECTING;
  }

  /** Whether there are more protocols than are held. */
  get isCut() {
    return this.#pages.length === MAX_PAGES && this.#pages.at(-1).nextCursor !== null;
  }

  async load() {
    if (this.#isReading) return;
    this.#isReading = true;
    await super.load();
    this.#isReading = false;
  }

  async #read() {
    const pages = [];
    let cursor = null;
    for (let index = 0; index < MAX_PAGES; index += 1) {
      const page = await this.#readPage(cursor, this.#pages[index]);
      pages.push(page);
      cursor = page.nextCursor;
      if (cursor === null) break;
    }
    this.#pages = pages;
    this.#adopt(pages.flatMap((page) => page.items));
  }

  /** A page that did not change since it was read is not sent again. */
  async #readPage(cursor, last) {
    const known = last?.cursor === cursor ? last : null;
    const from = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const answer = await this.#api.getIfChanged(`/overview?limit=${PAGE}${from}`, known?.tag);
    return answer ? { cursor, tag: answer.tag, ...answer.body } : known;
  }

  /** While the numbers change, a protocol may move from one page to another: it is shown once. */
  #adopt(items) {
    const byId = new Map();
    for (const item of items) if (!byId.has(item.protocolId)) byId.set(item.protocolId, item);
    Object.assign(this, { items: [...byId.values()], isRead: true, readAt: Date.now() });
  }
}

/** What of a protocol needs attention, worst first: `[key, count, one, several]`. */
export function needsOf({ vulnerabilities, payments }) {
  return [
    ["failed", payments.failed, "failed payment", "failed payments"],
    ["critical", vulnerabilities.criticalOpen, "open critical", "open criticals"],
    ["pending", vulnerabilities.pending, "pending finding", "pending findings"],
    ["confirmed", vulnerabilities.confirmed, "finding to pay", "findings to pay"],
    ["paying", payments.pending, "payment on its way", "payments on their way"],
  ].filter(([, count]) => count !== "0");
}
