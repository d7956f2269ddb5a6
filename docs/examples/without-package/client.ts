/**
 * A protocol's pool and agents, live: the algorithm of docs/clients.md in one file, without the client package. The
 * types are generated from the server's documents (`docs/types`): a misspelt member or event does not compile.
 *
 *  1. The handshake joins the room; then `/state` is fetched. Events that arrive during a fetch are applied to its result.
 *  2. An event is applied if its `version` is higher than the one held.
 *  3. A `seq` that jumps or goes back is a loss: fetch again, after a random pause. A loss seen during a fetch
 *     counts unless the fetched state covers it.
 *  4. If the last event before a pause is lost, no later `seq` shows it: fetch every 20 seconds anyway.
 *  5. Failed requests are retried with growing, random pauses. Final refusals end the client.
 *  6. Socket.IO reconnects by itself, except after the server has ended the connection: then this class reconnects.
 */
import { io, type Socket } from "socket.io-client";
import type {
  AgentTaskData, AgentTaskUpdateEvent, BountyPoolUpdatedEvent, ClientToServerEvents, ServerToClientEvents,
  VulnStatusChangedEvent,
} from "../../types/events.js";
import type { Pool, Problem, State } from "../../types/rest.js";

type RoomEvent = AgentTaskUpdateEvent | BountyPoolUpdatedEvent | VulnStatusChangedEvent;

const [PAUSE_MS, REFRESH_MS, TIMEOUT_MS, MAX_RETRY_MS] = [500, 20_000, 10_000, 15_000];
const FINAL = new Set(["UNAUTHORIZED", "INVALID_PROTOCOL"]); // refused connections
const atRandom = (milliseconds: number): number => milliseconds * (0.5 + Math.random());
const isNewer = (version: string, held: string | undefined): boolean => held === undefined || BigInt(version) > BigInt(held);

/** A refusal of `/state`. 4xx is final, except for 408, 425 and 429. */
class Refused extends Error {
  constructor(readonly status: number, detail: string, readonly retryAfterMs: number) {
    super(detail);
  }
  get isFinal(): boolean {
    return this.status < 500 && ![408, 425, 429].includes(this.status);
  }
}

export class Dashboard {
  /** False while the state may be out of date: not connected, or after a loss. */
  isLive = false;
  pool: Pool | undefined;
  agents = new Map<string, AgentTaskData>();
  private known: bigint | undefined; // no event up to this number is missing; undefined until a state was fetched
  private arrived: bigint | undefined; // number of the last event
  private since: RoomEvent[] = []; // events since the running fetch began
  private running: AbortController | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined; // for the next fetch or, while not connected, the next attempt
  private failures = 0;
  private readonly socket: Socket<ServerToClientEvents, ClientToServerEvents>;

  /** `token` is called before each connection and request, so that it may return a new one. */
  constructor(
    private readonly url: string,
    private readonly token: () => string,
    private readonly protocolId: string,
    private readonly onChange: (dashboard: Dashboard) => void,
    private readonly onEnd: (reason: Error) => void,
  ) {
    const auth = (give: (auth: object) => void): void => give({ token: token(), protocolId });
    this.socket = io(url, { transports: ["websocket"], auth });
    this.socket.on("connect", () => {
      this.known = this.arrived = undefined;
      this.later(this.pool ? atRandom(PAUSE_MS) : 0, () => this.fetchState());
    });
    // Every event of the room counts for `seq`, including kinds that this client does not display.
    this.socket.onAny((_name, message?: RoomEvent) => message?.seq && this.receive(message));
    this.socket.on("disconnect", (reason) => {
      this.stopFetching();
      this.onChange(this);
      if (reason === "io server disconnect") this.later(atRandom(PAUSE_MS), () => this.socket.connect());
    });
    this.socket.on("connect_error", (refusal) => {
      if (FINAL.has(refusal.message)) this.end(refusal);
      else if (!this.socket.active) this.later(this.backoff(), () => this.socket.connect());
    });
  }

  close(): void {
    this.socket.close();
    this.stopFetching();
  }

  private receive(event: RoomEvent): void {
    if (this.running) this.since.push(event);
    this.apply(event);
    this.onChange(this);
  }

  private apply(event: RoomEvent): void {
    const seq = BigInt(event.seq);
    const isBack = this.arrived !== undefined && seq <= this.arrived; // the room was started anew
    const isLoss = isBack || (this.known !== undefined && seq > this.known + 1n);
    this.arrived = seq;
    if (this.known !== undefined && seq > this.known) this.known = seq;
    if (event.eventType === "agent:task_update" && isNewer(event.data.version, this.agents.get(event.data.agentId)?.version))
      this.agents.set(event.data.agentId, event.data);
    if (event.eventType === "bounty_pool:updated" && isNewer(event.data.version, this.pool?.version)) {
      const { total, available, reserved, paid, currency, version } = event.data;
      this.pool = { protocolId: event.protocolId, total, available, reserved, paid, currency, version };
    }
    if (!isLoss) return;
    // During a fetch, `adopt` decides; while not live, a fetch is already scheduled.
    if (!this.running && this.isLive) this.later(atRandom(PAUSE_MS), () => this.fetchState());
    this.isLive = false;
  }

  private async fetchState(): Promise<void> {
    const running = (this.running = new AbortController());
    this.since = [];
    const signal = AbortSignal.any([running.signal, AbortSignal.timeout(TIMEOUT_MS)]);
    const state = await this.getState(signal).catch((fault: Error) => fault);
    if (running !== this.running) return; // the connection has ended meanwhile; the next one fetches again
    this.running = undefined;
    if (!(state instanceof Error)) this.adopt(state);
    else if (state instanceof Refused && state.isFinal) this.end(state);
    else {
      this.isLive = false;
      this.later(Math.max(this.backoff(), state instanceof Refused ? state.retryAfterMs : 0), () => this.fetchState());
    }
    this.onChange(this);
  }

  private async getState(signal: AbortSignal): Promise<State> {
    const headers = { Authorization: `Bearer ${this.token()}` };
    const response = await fetch(`${this.url}/api/v1/protocols/${this.protocolId}/state`, { headers, signal });
    if (response.ok) return (await response.json()) as State;
    const problem = (await response.json().catch(() => ({}))) as Partial<Problem>;
    const retryAfterMs = 1000 * (Number(response.headers.get("Retry-After")) || 0);
    throw new Refused(response.status, problem.detail ?? `HTTP ${response.status}`, retryAfterMs);
  }

  private adopt(state: State): void {
    this.pool = state.pool;
    this.agents = new Map(state.agents.map((agent) => [agent.agentId, agent]));
    this.known = BigInt(state.seq);
    this.failures = 0;
    this.isLive = true;
    this.later(atRandom(REFRESH_MS), () => this.fetchState());
    const { arrived } = this;
    this.arrived = undefined;
    this.since.forEach((event) => this.apply(event)); // a loss among these schedules the next fetch
    this.arrived ??= arrived;
  }

  private backoff(): number {
    return atRandom(Math.min(MAX_RETRY_MS, PAUSE_MS * 2 ** this.failures++));
  }

  private later(milliseconds: number, action: () => unknown): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(action, milliseconds);
  }

  private stopFetching(): void {
    clearTimeout(this.timer);
    this.running?.abort();
    this.running = undefined;
    this.isLive = false;
  }

  private end(reason: Error): void {
    this.close();
    this.onEnd(reason);
  }
}
