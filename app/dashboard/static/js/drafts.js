const STORED = "dashboard.drafts";
const MAX_DRAFTS = 20;

/** What a user typed into the dialogs of actions and did not send, by the request's path. Stored per tab; survives a reload. */
export class Drafts {
  #subject;
  #storage;

  constructor(subject, storage = sessionStorage) {
    this.#subject = subject;
    this.#storage = storage;
  }

  /** The values by field, or null. */
  read(path) {
    return this.#all().get(this.#key(path)) ?? null;
  }

  write(path, values) {
    const all = this.#all();
    all.delete(this.#key(path));
    this.#keep(Object.values(values).some((value) => value.trim()) ? all.set(this.#key(path), values) : all);
  }

  drop(path) {
    const all = this.#all();
    if (all.delete(this.#key(path))) this.#keep(all);
  }

  /** Those of all users. */
  clear() {
    this.#storage.removeItem(STORED);
  }

  #key(path) {
    return JSON.stringify([this.#subject, path]);
  }

  #all() {
    return new Map(JSON.parse(this.#storage.getItem(STORED) ?? "[]"));
  }

  #keep(all) {
    if (all.size) this.#storage.setItem(STORED, JSON.stringify([...all].slice(-MAX_DRAFTS)));
    else this.clear();
  }
}
