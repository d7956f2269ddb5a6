import { RetryingRead } from "./retrying-read.js";

const MAX_PROTOCOLS = 1000;
const POLL_MS = 10_000;

/** The protocols that the token names. While there are none, the list is polled: one may be created at any time. */
export class Protocols {
  items = [];
  isRead = false;

  #api;
  #reading;
  #timer = null;

  constructor(api, onChange) {
    this.#api = api;
    this.#reading = new RetryingRead(() => this.#read(), onChange);
  }

  get error() {
    return this.#reading.error;
  }

  get retryAt() {
    return this.#reading.retryAt;
  }

  /** The protocol with this id, or else the first. */
  choose(id) {
    return this.items.find((each) => each.id === id) ?? this.items[0];
  }

  load() {
    clearTimeout(this.#timer);
    return this.#reading.now();
  }

  close() {
    clearTimeout(this.#timer);
    this.#reading.close();
  }

  async #read() {
    const all = new Map();
    for await (const items of this.#api.pages("/protocols", MAX_PROTOCOLS)) items.forEach((each) => all.set(each.id, each));
    Object.assign(this, { items: [...all.values()], isRead: true });
    if (all.size === 0) this.#timer = setTimeout(() => this.load(), POLL_MS * (0.75 + Math.random() / 2));
  }
}
