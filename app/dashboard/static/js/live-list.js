import { RetryingRead } from "./retrying-read.js";
import { isNewer } from "../vendor/client/room/state.js";

const PAGE = 100;
const MAX_HELD = 2000;
const MAX_GAP_PAGES = 3;
const MAX_SINGLE_READS = 8;

/**
 * A filtered list of the API, newest first: read page by page on demand (at most `MAX_HELD` items), and kept up to date at
 * its newest end. A gap to the held items that is longer than a few pages makes it begin anew.
 */
export class LiveList extends RetryingRead {
  isLoaded = false;

  #api;
  #path;
  #options;
  #byId = new Map();
  #items = null;
  #cursor = null;
  #isTrimmed = false;
  #wanted = { newest: false, next: false, ids: new Set() };

  /**
   * @param {string} path of the list with its filters
   * @param {object} options `isBefore(a, b)`: whether `a` is newer than `b`; `itemPath(id)`, if single items can be read;
   *   `keeps(item)`: whether it matches the filters (default: all do); `pauses`, see RetryingRead
   */
  constructor(api, path, onChange, options) {
    super(() => this.#read(), onChange, options.pauses);
    this.#api = api;
    this.#path = path + (path.includes("?") ? "&" : "?");
    this.#options = { keeps: () => true, ...options };
  }

  /** The items that match the filters, newest first. */
  get items() {
    const { keeps, isBefore } = this.#options;
    this.#items ??= [...this.#byId.values()].filter(keeps).sort((a, b) => (isBefore(a, b) ? -1 : 1));
    return this.#items;
  }

  /** An item that was read, even if it does not match the filters any more. */
  get(id) {
    return this.#byId.get(id);
  }

  get hasMore() {
    return this.#cursor !== null && this.#byId.size < MAX_HELD;
  }

  /** Whether there are older items that are not held, since there are too many. */
  get isCut() {
    return this.#isTrimmed || (this.#cursor !== null && !this.hasMore);
  }

  /** Read what is newer than the held items. */
  refresh() {
    this.#wanted.newest = true;
    return this.load();
  }

  /** Read the next older page. */
  more() {
    if (!this.hasMore || this.#wanted.next) return undefined;
    this.#wanted.next = true;
    return this.load();
  }

  /** Read these items again, or the whole list if they are many. */
  lookUp(ids) {
    if (ids.length === 0) return undefined;
    ids.forEach((id) => this.#wanted.ids.add(id));
    return this.load();
  }

  /** Whether an item that is not held belongs among the held ones: not if it is older than all that were read. */
  covers(item) {
    return this.#options.keeps(item) && (this.#cursor === null || this.#options.isBefore(item, this.items.at(-1) ?? item));
  }

  /** A wish is dropped only when it is fulfilled, so that it is repeated after a failure. */
  async #read() {
    const wanted = this.#wanted;
    if (wanted.ids.size > MAX_SINGLE_READS) this.#beginAnew();
    if (wanted.newest || !this.isLoaded) await this.#readNewest();
    if (wanted.next) await this.#readNext();
    for (const id of [...wanted.ids]) await this.#readOne(id);
  }

  #beginAnew() {
    this.#wanted.ids.clear();
    this.isLoaded = false;
  }

  /** What becomes newer while this runs is another wish. */
  async #readNewest() {
    this.#wanted.newest = false;
    try {
      await this.#catchUp();
    } catch (problem) {
      this.#wanted.newest = true;
      throw problem;
    }
  }

  async #catchUp() {
    const found = [];
    let cursor = null;
    let isJoined = false;
    for (let pages = 0; pages < MAX_GAP_PAGES; pages += 1) {
      const page = await this.#page(cursor);
      found.push(...page.items);
      cursor = page.nextCursor;
      isJoined = this.isLoaded && page.items.some(({ id }) => this.#byId.has(id));
      if (isJoined || !this.isLoaded || cursor === null) break;
    }
    if (isJoined) this.#dropMissing(found, cursor === null);
    else this.#byId.clear();
    if (!isJoined || cursor === null) this.#cursor = cursor;
    this.isLoaded = true;
    this.#take(found);
  }

  /** Items that the server's list lacks in the range that was read do not match the filters any more. */
  #dropMissing(found, isWhole) {
    const ids = new Set(found.map(({ id }) => id));
    const last = found.at(-1);
    for (const [id, item] of this.#byId) {
      if (!ids.has(id) && (isWhole || this.#options.isBefore(item, last))) this.#byId.delete(id);
    }
  }

  async #readNext() {
    const page = this.#cursor !== null && (await this.#page(this.#cursor));
    this.#wanted.next = false;
    if (!page) return;
    this.#cursor = page.nextCursor;
    this.#take(page.items);
  }

  async #readOne(id) {
    this.#wanted.ids.delete(id);
    try {
      const item = await this.#api.get(this.#options.itemPath(id));
      if (this.#byId.has(id) || this.covers(item)) this.#take([item]);
    } catch (problem) {
      if (problem.isPassing) this.#wanted.ids.add(id);
      throw problem;
    }
  }

  #page(cursor) {
    const from = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    return this.#api.get(`${this.#path}limit=${PAGE}${from}`);
  }

  /** Responses may overtake each other, so an item replaces only an older version. */
  #take(items) {
    this.#items = null;
    for (const item of items) {
      if (isNewer(item.version, this.#byId.get(item.id)?.version)) this.#byId.set(item.id, item);
    }
    if (this.#byId.size > MAX_HELD) this.#trim();
  }

  #trim() {
    this.#isTrimmed = true;
    for (const { id } of this.items.slice(MAX_HELD)) this.#byId.delete(id);
    this.#items = null;
  }
}
