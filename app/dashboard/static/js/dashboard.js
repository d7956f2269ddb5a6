import { io } from "../vendor/socket.io.js";
import { Feed } from "./feed.js";
import { Findings } from "./findings.js";
import { Ledger } from "./ledger.js";
import { RoomClient, Status } from "./room-client.js";

const TICK_MS = 5000;

/** Everything the page shows of one protocol, and one redraw per frame at most, however many events come. */
export class Dashboard {
  protocols = [];
  room = null;
  findings = null;
  ledger = null;
  feed = null;
  /** What was said last, for screen readers and the toast: `{text, tone, id}`. */
  notice = null;

  #api;
  #draw = () => {};
  #frame = 0;
  #ticker;
  #token = null;
  #snapshots = 0;
  #clockOffset = -Infinity;

  constructor(session, api) {
    this.session = session;
    this.#api = api;
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
  }

  get api() {
    return this.#api;
  }

  get state() {
    return this.room?.state ?? null;
  }

  get isStale() {
    return this.room !== null && this.room.status !== Status.LIVE;
  }

  /** The server's time, as far as the last snapshot told it. */
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

  async open(protocolId) {
    for await (const items of this.#api.pages("/protocols", 1000)) this.protocols.push(...items);
    this.protocols = [...new Map(this.protocols.map((each) => [each.id, each])).values()];
    const known = this.protocols.some((each) => each.id === protocolId);
    const first = known ? protocolId : this.protocols[0]?.id;
    if (first) this.#enter(first);
    this.redraw();
  }

  close() {
    clearInterval(this.#ticker);
    cancelAnimationFrame(this.#frame);
    this.room?.stop();
    this.findings?.close();
    this.ledger?.close();
    this.#draw = () => {};
  }

  switchTo(protocolId) {
    this.#begin(protocolId);
    this.room.join(protocolId);
  }

  /** After an own action: its event comes by itself, but not everything has one. */
  refresh() {
    this.room.refresh();
    this.findings.load();
  }

  say(text, tone = "good") {
    this.notice = { text, tone, id: (this.notice?.id ?? 0) + 1 };
    this.redraw();
  }

  /** Times in words grow old by themselves, and so does the token. */
  async #tick() {
    this.redraw();
    await this.#passTokenOn();
  }

  /** A new token goes to the room, whoever renewed it. */
  async #passTokenOn() {
    const token = await this.session.token();
    if (this.#token && token && token !== this.#token) this.room?.renew();
    this.#token = token;
  }

  #enter(protocolId) {
    this.#begin(protocolId);
    this.room = new RoomClient({ io, protocolId, token: () => this.session.token(), agentBatches: true });
    this.room.onChange = () => this.#onChange();
    this.room.onEvent = (event) => this.#onEvent(event);
    this.room.start();
  }

  #begin(protocolId) {
    this.findings?.close();
    this.ledger?.close();
    const redraw = () => this.redraw();
    this.findings = new Findings(this.#api, protocolId, redraw);
    this.ledger = new Ledger(this.#api, protocolId, () => this.#onLedger());
    this.feed = new Feed();
    this.#snapshots = 0;
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
    // `asOf` may be older than the answer (one that was not changed is not sent again), but never younger.
    this.#clockOffset = Math.max(this.#clockOffset, Date.parse(this.state.asOf) - Date.now());
    if (isFirst) this.findings.load();
    this.findings.reconcile(this.state);
    this.ledger.reconcile(this.state);
  }

  #onLedger() {
    this.feed.seed(this.ledger.entries, this.state?.pool?.currency);
    this.redraw();
  }

  #onEvent(event) {
    this.findings.apply(event);
    this.ledger.apply(event);
    this.feed.apply(event);
  }

  agentName(id) {
    return this.state?.agents.get(id)?.name ?? id;
  }

  findingTitle(id) {
    return this.findings.byId.get(id)?.title ?? this.state?.open.get(id)?.title ?? id;
  }
}
