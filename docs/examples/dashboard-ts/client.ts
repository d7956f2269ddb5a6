/**
 * The same in TypeScript, with the types made from the server's own documents (`docs/types`), and without the reference
 * client: the whole algorithm on one page. A misspelt member or event does not compile.
 */
import { io, type Socket } from "socket.io-client";
import type { AgentTaskData, ClientToServerEvents, ServerToClientEvents } from "../../types/events.js";
import type { components } from "../../types/rest.js";

type State = components["schemas"]["State"];
type Pool = components["schemas"]["Pool"];

const isNewer = (version: string, held: string | undefined): boolean => held === undefined || BigInt(version) > BigInt(held);

export class Dashboard {
  pool: Pool | undefined;
  readonly agents = new Map<string, AgentTaskData>();
  private seq: bigint | undefined;
  private fetching = false;
  private readonly socket: Socket<ServerToClientEvents, ClientToServerEvents>;

  constructor(
    private readonly url: string,
    private readonly token: string,
    private readonly protocolId: string,
    private readonly onChange: (dashboard: Dashboard) => void,
  ) {
    this.socket = io(url, { transports: ["websocket"], auth: { token, protocolId } });
    this.socket.on("connect", () => {
      this.seq = undefined;
      void this.fetchState(); // the room is joined already: what comes meanwhile is merged by version
    });
    this.socket.on("agent:task_update", (event) => {
      this.heard(event.seq);
      this.mergeAgent(event.data);
    });
    this.socket.on("bounty_pool:updated", (event) => {
      this.heard(event.seq);
      const { total, available, reserved, paid, currency, version } = event.data;
      this.mergePool({ protocolId: event.protocolId, total, available, reserved, paid, currency, version });
    });
    this.socket.on("vuln:status_changed", (event) => this.heard(event.seq));
    this.socket.on("session:expired", ({ code }) => console.error(code));
  }

  close(): void {
    this.socket.close();
  }

  /** A jump in `seq` is a loss: no event is replayed, so fetch the state. */
  private heard(seq: string): void {
    const present = BigInt(seq);
    if (this.seq !== undefined && present > this.seq + 1n) void this.fetchState();
    this.reached(present);
  }

  private reached(seq: bigint): void {
    if (this.seq === undefined || seq > this.seq) this.seq = seq;
  }

  private async fetchState(): Promise<void> {
    if (this.fetching) return;
    this.fetching = true;
    try {
      const headers = { Authorization: `Bearer ${this.token}` };
      const response = await fetch(`${this.url}/api/v1/protocols/${this.protocolId}/state`, { headers });
      if (!response.ok) throw new Error(((await response.json()) as components["schemas"]["Problem"]).code);
      const state = (await response.json()) as State;
      this.reached(BigInt(state.seq));
      state.agents.forEach((agent) => this.mergeAgent(agent));
      this.mergePool(state.pool);
    } finally {
      this.fetching = false;
    }
  }

  private mergeAgent(data: AgentTaskData): void {
    if (!isNewer(data.version, this.agents.get(data.agentId)?.version)) return; // old news
    this.agents.set(data.agentId, data);
    this.onChange(this);
  }

  private mergePool(pool: Pool): void {
    if (!isNewer(pool.version, this.pool?.version)) return;
    this.pool = pool;
    this.onChange(this);
  }
}
