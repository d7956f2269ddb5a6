const STORED = "dashboard.drafts";
const MAX_DRAFTS = 20;

/** What was typed into the dialogs of actions and not sent, by the request's path. Stored per tab; survives a reload. */
export class Drafts {
  #storage;

  constructor(storage = sessionStorage) {
    this.#storage = storage;
  }

  /** The values by field, or null. */
  read(path) {
    return this.#all().get(path) ?? null;
  }

  write(path, values) {
    const all = this.#all();
    all.delete(path);
    this.#keep(Object.values(values).some((value) => value.trim()) ? all.set(path, values) : all);
  }

  drop(path) {
    const all = this.#all();
    if (all.delete(path)) this.#keep(all);
  }

  clear() {
    this.#storage.removeItem(STORED);
  }

  #all() {
    return new Map(JSON.parse(this.#storage.getItem(STORED) ?? "[]"));
  }

  #keep(all) {
    if (all.size) this.#storage.setItem(STORED, JSON.stringify([...all].slice(-MAX_DRAFTS)));
    else this.clear();
  }
}
