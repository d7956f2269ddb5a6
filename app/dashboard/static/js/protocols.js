import { Reading } from "./reading.js";

const MOST = 1000;
const LOOK_AGAIN_MS = 10_000;

/** The protocols that the token names. While there is none, it is looked for now and then: it may be made any time. */
export class Protocols {
  items = [];
  isRead = false;

  #api;
  #reading;
  #timer = null;

  constructor(api, onChange) {
    this.#api = api;
    this.#reading = new Reading(() => this.#read(), onChange);
  }

  get error() {
    return this.#reading.error;
  }

  get retryAt() {
    return this.#reading.retryAt;
  }

  /** The one of this id, or else the first. */
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
    for await (const items of this.#api.pages("/protocols", MOST)) items.forEach((each) => all.set(each.id, each));
    Object.assign(this, { items: [...all.values()], isRead: true });
    if (all.size === 0) this.#timer = setTimeout(() => this.load(), LOOK_AGAIN_MS * (0.75 + Math.random() / 2));
  }
}
