const STORED = "dashboard.intentions";
const MOST = 20;
const KEPT_MS = 3_600_000; // the server remembers a key for a day; people have moved on to another intention long before

/**
 * The Idempotency-Keys of what was sent and has no definite answer yet. Whoever sends the same again (from a dialog that
 * was opened anew, after a reload) gets the same key, so that it is done once. Kept for this tab.
 */
export class Intentions {
  #storage;

  constructor(storage = sessionStorage) {
    this.#storage = storage;
  }

  /** @param {string} intention who wants what: the same text is the same intention */
  key(intention) {
    const kept = this.#kept();
    const key = kept.get(intention)?.key ?? newKey();
    kept.delete(intention);
    this.#keep(kept.set(intention, { key, at: Date.now() }));
    return key;
  }

  /** It has its answer: to want the same again is another intention. */
  forget(intention) {
    const kept = this.#kept();
    if (kept.delete(intention)) this.#keep(kept);
  }

  #kept() {
    const all = JSON.parse(this.#storage.getItem(STORED) ?? "[]");
    return new Map(all.filter(([, { at }]) => Date.now() - at < KEPT_MS));
  }

  #keep(kept) {
    if (kept.size) this.#storage.setItem(STORED, JSON.stringify([...kept].slice(-MOST)));
    else this.#storage.removeItem(STORED);
  }
}

/** Also where the page is not on a secure origin, and `randomUUID` is missing. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
