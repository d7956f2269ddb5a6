import { io } from "../vendor/socket.io.js";
import { Alerts } from "./alerts.js";
import { Feed } from "./feed.js";
import { Findings } from "./findings.js";
import { Ledger } from "./ledger.js";
import { OtherPayments } from "./other-payments.js";
import { Protocols } from "./protocols.js";
import { RoomClient, Status } from "../vendor/client/room-client.js";
import { Ticker } from "./ticker.js";

const ALERTING = new Set(["vuln:discovered", "payment:status_changed"]);
let notices = 0;

/** The page's model of one protocol. Redraws at most once per frame, however many events arrive. */
export class Dashboard {
  room = null;
  findings = null;
  ledger = null;
  otherPayments = null;
  feed = null;
  alerts = null;
  /** The model of the portfolio while it is shown (portfolio.js). */
  portfolio = null;
  /** The last notice, for screen readers and the toast: `{text, tone, id, target}`. */
  notice = null;

  #handlers;
  #draw = () => {};
  #frame = 0;
  #ticker = new Ticker(() => this.#onTick());
  #token = null;
  #snapshots = 0;
  #seededReads = 0;
  #clockOffset = -Infinity;
  #isClosed = false;
  #listeners = new Set();

  /** @param {object} handlers `onListing()` after each read of the protocols, `onRefused(message)` for an
   *   invalid token, `onAlert(alert)` */
  constructor(session, api, handlers) {
    this.session = session;
    this.api = api;
    this.#handlers = handlers;
    this.listing = new Protocols(api, () => this.#onListing());
  }

  get protocols() {
    return this.listing.items;
  }

  get state() {
    return this.room?.state ?? null;
  }

  /** The status of the room or the portfolio; without either, ERROR if no protocol can be shown, else CONNECTING. */
  get status() {
    const { isRead, error, items } = this.listing;
    const isHopeless = (isRead && items.length === 0) || error?.isPassing === false;
    return (this.room ?? this.portfolio)?.status ?? (isHopeless ? Status.ERROR : Status.CONNECTING);
  }

  /** Whether what is shown is, or will be, live: not the views that only read when they are opened. */
  get isConnectable() {
    return Boolean(this.room ?? this.portfolio) || !this.listing.isRead || this.listing.items.length === 0;
  }

  get isStale() {
    return this.room !== null && this.room.status !== Status.LIVE;
  }

  /** The server's time, estimated from the snapshots. */
  get now() {
    return Date.now() + (Number.isFinite(this.#clockOffset) ? this.#clockOffset : 0);
  }

  onDraw(draw) {
    this.#draw = draw;
  }

  redraw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  /** Call `listener(event)` with each event of the room, and without one after each snapshot. Returns its removal. */
  listen(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Read the list of protocols, then call `onListing`. */
  open() {
    this.listing.load();
  }

  close() {
    this.#isClosed = true;
    this.#ticker.stop();
    cancelAnimationFrame(this.#frame);
    this.listing.close();
    this.#closeRoom();
    this.#draw = () => {};
  }

  /** Show this protocol. */
  enter(protocolId) {
    if (this.room?.protocolId === protocolId) return;
    this.#reset(protocolId);
    if (this.room) return void this.room.join(protocolId);
    const fallback = async () => (await import("../vendor/client/sse.js")).sse;
    this.room = new RoomClient({ io, fallback, protocolId, token: () => this.session.token(), agentBatches: true });
    this.room.onChange = () => this.#onChange();
    this.room.onEvent = (event) => this.#onEvent(event);
    this.room.start();
  }

  /** Show no protocol. */
  leave() {
    this.#closeRoom();
    Object.assign(this, { room: null, findings: null, ledger: null, otherPayments: null, feed: null, alerts: null });
  }

  /** Fetch the state after an action of the user, since not every effect has an event. */
  refresh() {
    this.room?.refresh();
  }

  /** Continue after the user has renewed the token, also when the old one has expired meanwhile. */
  async resume() {
    await this.#renewToken();
    if (this.room?.status !== Status.SIGNED_OUT) return this.redraw();
    this.room.start();
    this.findings.load();
    this.ledger.load();
  }

  /** @param {object} [target] the parameters of the address that show what the notice is about */
  say(text, tone = "good", target = null) {
    this.notice = { text, tone, target, id: (notices += 1) };
    this.redraw();
  }

  /** Updates relative times and renews the token. */
  async #onTick() {
    if (!document.hidden && document.hasFocus()) this.alerts?.look();
    this.redraw();
    await this.#renewToken();
  }

  /** Pass a renewed token to the room. */
  async #renewToken() {
    const token = await this.session.token();
    if (this.#isClosed) return;
    if (this.#token && token && token !== this.#token) this.room?.renew();
    this.#token = token;
  }

  #onListing() {
    const { error } = this.listing;
    if (error?.status === 401) return this.#handlers.onRefused(error.message);
    this.#handlers.onListing();
    this.redraw();
  }

  #closeRoom() {
    this.room?.stop();
    this.#closeReads();
  }

  #closeReads() {
    [this.findings, this.ledger, this.otherPayments].forEach((each) => each?.close());
  }

  #reset(protocolId) {
    this.#closeReads();
    this.findings = new Findings(this.api, protocolId, () => this.#onFindings());
    this.ledger = new Ledger(this.api, protocolId, () => this.#seed());
    this.otherPayments = new OtherPayments(this.api, () => this.redraw());
    this.feed = new Feed();
    this.alerts = new Alerts();
    this.#snapshots = 0;
    this.#seededReads = 0;
  }

  #onChange() {
    const { state, counters } = this.room;
    if (this.findings) this.findings.counts = state?.counts ?? null;
    if (state && counters.snapshots !== this.#snapshots) this.#onSnapshot(counters.snapshots);
    this.redraw();
  }

  #onSnapshot(count) {
    const isFirst = this.#snapshots === 0;
    this.#snapshots = count;
    // `asOf` may be older than the response (an unchanged one is not sent again), but never newer.
    this.#clockOffset = Math.max(this.#clockOffset, Date.parse(this.state.asOf) - Date.now());
    if (isFirst) this.findings.load();
    this.findings.reconcile(this.state);
    this.ledger.reconcile(this.state);
    this.#listeners.forEach((listener) => listener());
    this.#seed();
    this.#checkAlerts();
  }

  #onFindings() {
    if (this.findings.reads !== this.#seededReads) this.#seed();
    this.#seededReads = this.findings.reads;
    this.redraw();
  }

  #seed() {
    if (this.state) this.feed.seed({ entries: this.ledger.entries, findings: [...this.findings.byId.values()], state: this.state });
    this.redraw();
  }

  #checkAlerts() {
    const fresh = this.alerts.check(this.state, (id) => this.findingTitle(id));
    for (const alert of fresh) {
      this.say(alert.text, "bad", alert.target);
      this.#handlers.onAlert(alert);
    }
  }

  #onEvent(event) {
    this.findings.apply(event);
    this.ledger.apply(event);
    this.otherPayments.apply(event);
    this.feed.apply(event);
    this.#listeners.forEach((listener) => listener(event));
    if (ALERTING.has(event.eventType)) this.#checkAlerts();
  }

  agentName(id) {
    return this.state?.agents.get(id)?.name ?? id;
  }

  /** The payment of a finding that is not cancelled; undefined if there is none, or it is not read yet. */
  paymentOf({ id, paymentId, status }) {
    const { payments } = this.state;
    if (!paymentId) return [...payments.values()].find((each) => each.vulnerabilityId === id && each.status !== "CANCELLED");
    return payments.get(paymentId) ?? (status === "CONFIRMED" ? (this.otherPayments.get(paymentId) ?? undefined) : undefined);
  }

  /** Null if the finding was not read yet. */
  findingTitle(id) {
    return this.findings.byId.get(id)?.title ?? this.state?.open.get(id)?.title ?? null;
  }
}
