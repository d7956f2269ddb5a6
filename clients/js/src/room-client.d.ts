import type { Pool, State } from "../types/rest.js";
import type { ServerToClientEvents } from "../types/events.js";

export type * from "../types/events.js";
export type { State } from "../types/rest.js";

type RoomEventName = Exclude<keyof ServerToClientEvents, `session:${string}`>;
/** An event of the room. Its `eventType` tells which. */
export type RoomEvent = { [Name in RoomEventName]: Parameters<ServerToClientEvents[Name]>[0] }[RoomEventName];

export declare const Status: {
  readonly CONNECTING: "connecting";
  readonly LIVE: "live";
  readonly RECONNECTING: "reconnecting";
  readonly RESYNCING: "resyncing";
  readonly SIGNED_OUT: "signed out";
  readonly ERROR: "error";
};
export type Status = (typeof Status)[keyof typeof Status];

export interface RoomError {
  code: string;
  detail: string;
}

/** A token, or a function that returns the current one or a promise of it. It must not throw. */
export type Token = string | (() => string | null | Promise<string | null>);

/** The way on which events arrive, such as `sse` of "@dashboard-realtime/client/sse". */
export type Transport = (options: object, schedule: object) => object;

interface Place {
  protocolId: string;
  token: Token;
  /** The server's address; empty: the page's origin. */
  baseUrl?: string;
  fetch?: typeof fetch;
  /** RUNNING updates of all agents as one event a second: for pages that show hundreds of them. */
  agentBatches?: boolean;
  /** Pause between two fetches of the state without a loss; times are in milliseconds. */
  refreshMs?: number;
  /** Shortest pause between two fetches. */
  restMs?: number;
  /** Longest random pause before a fetch or connection that many clients start at once. */
  jitterMs?: number;
  /** First pause after a failure; doubles up to `retryCapMs`. */
  retryMs?: number;
  retryCapMs?: number;
  /** Time limit of a fetch, and of an attempt to connect. */
  timeoutMs?: number;
}

export interface SocketOptions extends Place {
  /** `io` of socket.io-client. */
  io: (...given: any[]) => any;
  transport?: undefined;
  /** Passed to Socket.IO. */
  socketOptions?: object;
  /** Ask for a sign of life when nothing was heard for so long; 0: never. */
  silenceMs?: number;
  /** Without one within this time the server does not answer. */
  answerMs?: number;
  /** Loads the transport to use when Socket.IO cannot connect although the server answers. */
  fallback?: () => Promise<Transport>;
  /** Failed attempts of Socket.IO in a row, while the server answers, until `fallback` is used. */
  fallbackAfter?: number;
  /** Pause after which Socket.IO is tried again. */
  returnMs?: number;
}

export interface TransportOptions extends Place {
  transport: Transport;
  io?: undefined;
  /** A stream of which nothing was heard for so long is opened anew. */
  streamSilenceMs?: number;
}

export type RoomOptions = SocketOptions | TransportOptions;

type Agent = State["agents"][number];
type Vulnerability = State["vulnerabilities"]["open"][number];
type Payment = State["payments"][number];

/** The held state. The maps are changed by events; the objects in them are replaced. */
export interface RoomState {
  protocol: State["protocol"];
  pool: Pool;
  seq: string;
  asOf: string;
  agents: Map<string, Agent>;
  agentsTruncated: boolean;
  /** Open vulnerabilities. */
  open: Map<string, Vulnerability>;
  counts: State["vulnerabilities"]["counts"];
  payments: Map<string, Payment>;
}

/** A live copy of `GET /protocols/{id}/state`. */
export declare class RoomClient {
  constructor(options: RoomOptions);
  readonly status: Status;
  readonly state: RoomState | null;
  /** The time, in milliseconds since 1970, since which `state` may be out of date; null while it is live. */
  readonly staleSince: number | null;
  /** The last refusal, for display; code SILENT: the server does not answer; null if there is none. */
  readonly error: RoomError | null;
  /** The number of snapshots fetched and of losses detected. */
  readonly counters: { snapshots: number; losses: number };
  readonly protocolId: string;
  /** How events arrive. */
  readonly transport: "socket.io" | "stream";
  /** Called after every change of `status` or `state`. */
  onChange: (room: RoomClient) => void;
  /** Called once with every event of the room, after it was merged or ignored as outdated. */
  onEvent: (event: RoomEvent, room: RoomClient) => void;
  /** The held state, in the form of `/state`. */
  snapshot(): State | null;
  start(): void;
  stop(): void;
  /** Switch to another protocol's room and discard the state of the old one. */
  join(protocolId: string): Promise<void>;
  /** Fetch the state now, for example after a request whose effect has no event. */
  refresh(): void;
  /** Send the current value of `token` to the server; to be called when it is a new token. */
  renew(): Promise<void>;
}
