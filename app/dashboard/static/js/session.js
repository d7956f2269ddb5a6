/** The signed-in user of all tabs: with their own token, or as one of the demo's roles. */

const STORED = "dashboard.token";
const STORED_ROLE = "dashboard.demoRole";
const RENEW_BEFORE_MS = 5 * 60_000;
const WARN_BEFORE_MS = 5 * 60_000;

/** The claims of a token, for display only (the server verifies it). Null if it is not a token. */
export function claimsOf(token) {
  try {
    const text = atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (char) => char.codePointAt(0))));
  } catch {
    return null;
  }
}

export class Session {
  /** The demo's tokens by role; null if the demo is off. */
  demo = null;
  /** Called when another tab has signed in or out, or renewed the token. `isOther`: another user or role. */
  onChange = () => {};
  #token = null;
  #claims = null;

  /** Restore the session of this browser, or start a demo session. */
  static async open() {
    const session = new Session();
    if (document.documentElement.hasAttribute("data-demo")) await session.#renewDemo();
    session.#restore();
    addEventListener("storage", ({ key }) => (key === STORED || key === STORED_ROLE || key === null) && session.#follow());
    return session;
  }

  #restore() {
    const stored = localStorage.getItem(STORED);
    if (stored) this.#use(stored, claimsOf(stored));
    else if (this.demo) this.#useRole(localStorage.getItem(STORED_ROLE) ?? "viewer");
    else this.#use(null, null);
  }

  #follow() {
    const before = this.#identity();
    this.#restore();
    this.onChange({ isOther: this.#identity() !== before });
  }

  #identity() {
    const { sub, role, protocols } = this.#claims ?? {};
    return JSON.stringify([sub, role, protocols]);
  }

  get isSignedIn() {
    return this.#claims !== null;
  }

  get isDemo() {
    return this.demo !== null && localStorage.getItem(STORED) === null;
  }

  get role() {
    return this.#claims?.role ?? null;
  }

  get subject() {
    return this.#claims?.sub ?? "";
  }

  /** The protocols that the token names, or `["*"]` for all. */
  get grants() {
    return this.#claims?.protocols ?? [];
  }

  may(...roles) {
    return this.role === "admin" || roles.includes(this.role);
  }

  /** Returns false if `token` is not a token. */
  signIn(token) {
    const claims = claimsOf(token);
    if (!claims) return false;
    this.#use(token, claims);
    localStorage.setItem(STORED, token);
    return true;
  }

  /** Continue with a new token of the same user. Returns why that is not possible, as text for users, or null. */
  renew(token) {
    const claims = claimsOf(token);
    if (!claims) return "This is no token: it has three parts with dots between them.";
    if (claims.sub !== this.subject) return `This token is of ${claims.sub}, and you are ${this.subject}: sign out first.`;
    if (claims.exp * 1000 <= Date.now()) return "This token has expired, too.";
    this.signIn(token);
    return null;
  }

  /** The time until the user's own token expires, in milliseconds; null if that is far or the token renews itself. */
  get expiresIn() {
    const left = (this.#claims?.exp ?? Infinity) * 1000 - Date.now();
    return !this.isDemo && left < WARN_BEFORE_MS ? Math.max(0, left) : null;
  }

  chooseRole(role) {
    localStorage.setItem(STORED_ROLE, role);
    localStorage.removeItem(STORED);
    this.#useRole(role);
  }

  #useRole(role) {
    const token = this.demo.roles[role] ?? this.demo.roles.viewer;
    this.#use(token, claimsOf(token));
  }

  /** In all tabs. */
  signOut() {
    localStorage.removeItem(STORED);
    this.#use(null, null);
  }

  /** The token for the next request or connection. A demo token is renewed before it expires. Never throws. */
  async token() {
    await this.renewIfDue();
    return this.#token;
  }

  async renewIfDue() {
    const isDue = this.isDemo && this.#claims && this.#claims.exp * 1000 - Date.now() < RENEW_BEFORE_MS;
    if (!isDue) return;
    const due = this.#token;
    const isRenewed = await this.#renewDemo();
    // The user may have signed out or chosen another role meanwhile.
    if (isRenewed && this.#token === due) this.#useRole(this.role);
  }

  async #renewDemo() {
    const answer = await fetch("/demo/session").catch(() => null);
    const demo = answer?.ok ? await answer.json().catch(() => null) : null;
    this.demo = demo ?? this.demo;
    return demo !== null;
  }

  #use(token, claims) {
    this.#token = token;
    this.#claims = claims;
  }
}
