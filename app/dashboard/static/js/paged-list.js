import { RetryingRead } from "./retrying-read.js";

const PAGE = 50;
const MAX_HELD = 1000;

/** A list of the API, read page by page on demand; at most `MAX_HELD` items are held. */
export class PagedList {
  items = [];
  isRead = false;

  #api;
  #path;
  #reading;
  #cursor = null;
  #isFirst = true;

  /**
   * @param {string} path without `limit` and `cursor`
   * @param {object} [pauses] see RetryingRead
   */
  constructor(api, path, onChange, pauses) {
    this.#api = api;
    this.#path = path + (path.includes("?") ? "&" : "?");
    this.#reading = new RetryingRead(() => this.#read(), onChange, pauses);
  }

  get error() {
    return this.#reading.error;
  }

  get hasMore() {
    return this.#cursor !== null && !this.isFull;
  }

  /** Whether there are more items than the page holds. */
  get isFull() {
    return this.#cursor !== null && this.items.length >= MAX_HELD;
  }

  /** Read the first page, in place of what is held. */
  load() {
    this.#isFirst = true;
    return this.#reading.now();
  }

  /** Read the next page. */
  more() {
    return this.hasMore ? this.#reading.now() : undefined;
  }

  close() {
    this.#reading.close();
  }

  async #read() {
    const isFirst = this.#isFirst;
    if (!isFirst && this.#cursor === null) return;
    const from = isFirst ? "" : `&cursor=${encodeURIComponent(this.#cursor)}`;
    const page = await this.#api.get(`${this.#path}limit=${PAGE}${from}`);
    if (isFirst !== this.#isFirst) return; // `load()` was called meanwhile, and another read follows
    this.items = isFirst ? page.items : [...this.items, ...page.items];
    this.#cursor = page.nextCursor;
    this.isRead = true;
    this.#isFirst = false;
  }
}
