/** The signed-in user: with their own token, stored per tab, or as one of the demo's roles. */

const STORED = "dashboard.token";
const STORED_ROLE = "dashboard.demoRole";
const RENEW_BEFORE_MS = 5 * 60_000;

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
  #token = null;
  #claims = null;

  /** Restore the session of this tab, or start a demo session. */
  static async open() {
    const session = new Session();
    if (document.documentElement.hasAttribute("data-demo")) await session.#renewDemo();
    const stored = sessionStorage.getItem(STORED);
    if (stored) session.signIn(stored);
    else if (session.demo) session.chooseRole(sessionStorage.getItem(STORED_ROLE) ?? "viewer");
    return session;
  }

  get isSignedIn() {
    return this.#claims !== null;
  }

  get isDemo() {
    return this.demo !== null && sessionStorage.getItem(STORED) === null;
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
    sessionStorage.setItem(STORED, token);
    return true;
  }

  chooseRole(role) {
    const token = this.demo.roles[role] ?? this.demo.roles.viewer;
    sessionStorage.setItem(STORED_ROLE, role);
    sessionStorage.removeItem(STORED);
    this.#use(token, claimsOf(token));
  }

  signOut() {
    sessionStorage.removeItem(STORED);
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
    if (isRenewed && this.#token === due) this.chooseRole(this.role);
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
