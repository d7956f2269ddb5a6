import { RetryingRead } from "./retrying-read.js";

const MAX_PROTOCOLS = 1000;
const POLL_MS = 10_000;

/** The protocols that the token names. While there are none, the list is polled: one may be created at any time. */
export class Protocols extends RetryingRead {
  items = [];
  isRead = false;

  #api;
  #timer = null;

  constructor(api, onChange) {
    super(() => this.#read(), onChange);
    this.#api = api;
  }

  /** The protocol with this id, or else the first. */
  choose(id) {
    return this.items.find((each) => each.id === id) ?? this.items[0];
  }

  load() {
    clearTimeout(this.#timer);
    return super.load();
  }

  close() {
    clearTimeout(this.#timer);
    super.close();
  }

  async #read() {
    const all = new Map();
    for await (const items of this.#api.pages("/protocols", MAX_PROTOCOLS)) items.forEach((each) => all.set(each.id, each));
    Object.assign(this, { items: [...all.values()], isRead: true });
    if (all.size === 0) this.#timer = setTimeout(() => this.load(), POLL_MS * (0.75 + Math.random() / 2));
  }
}
