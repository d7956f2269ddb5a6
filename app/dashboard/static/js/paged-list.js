import { RetryingRead } from "./retrying-read.js";

const PAGE = 50;
const MAX_HELD = 1000;

/** A list of the API, read page by page on demand; at most `MAX_HELD` items are held. */
export class PagedList extends RetryingRead {
  items = [];
  isRead = false;

  #api;
  #path;
  #cursor = null;
  #isFirst = true;

  /**
   * @param {string} path without `limit` and `cursor`
   * @param {object} [pauses] see RetryingRead
   */
  constructor(api, path, onChange, pauses) {
    super(() => this.#read(), onChange, pauses);
    this.#api = api;
    this.#path = path + (path.includes("?") ? "&" : "?");
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
    return super.load();
  }

  /** Read the next page. */
  more() {
    return this.hasMore ? super.load() : undefined;
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
