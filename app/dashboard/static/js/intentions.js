const STORED = "dashboard.intentions";
const MAX_KEYS = 20;
const KEPT_MS = 3_600_000; // less than the day for which the server remembers a key

/**
 * The Idempotency-Keys of requests that have no definite response yet. Sending the same request again (from a reopened
 * dialog, after a reload) uses the same key, so that it takes effect once. Stored per tab.
 */
export class Intentions {
  #storage;

  constructor(storage = sessionStorage) {
    this.#storage = storage;
  }

  /** @param {string} intention user, path and body: the same text is the same intention */
  key(intention) {
    const kept = this.#kept();
    const key = kept.get(intention)?.key ?? newKey();
    kept.delete(intention);
    this.#keep(kept.set(intention, { key, at: Date.now() }));
    return key;
  }

  /** Drop the key of an answered request: repeating it afterwards is a new intention. */
  forget(intention) {
    const kept = this.#kept();
    if (kept.delete(intention)) this.#keep(kept);
  }

  #kept() {
    const all = JSON.parse(this.#storage.getItem(STORED) ?? "[]");
    return new Map(all.filter(([, { at }]) => Date.now() - at < KEPT_MS));
  }

  #keep(kept) {
    if (kept.size) this.#storage.setItem(STORED, JSON.stringify([...kept].slice(-MAX_KEYS)));
    else this.#storage.removeItem(STORED);
  }
}

/** Works on insecure origins too, where `randomUUID` is missing. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
