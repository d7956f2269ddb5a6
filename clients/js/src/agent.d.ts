import type { VulnerabilityCreate, Vulnerability } from "../types/rest.js";

export { ApiError } from "./request.js";

export interface AgentOptions {
  /** The agent's token, or a function that returns the current one or a promise of it. */
  token: string | (() => string | Promise<string>);
  /** By default the token's `sub`. */
  agentId?: string;
  /** That of tasks and findings that name none. */
  protocolId?: string;
  /** The server's address; empty: the page's origin. */
  baseUrl?: string;
  fetch?: typeof fetch;
  /** By default console.warn. */
  log?: (event: string, details: Record<string, unknown>) => void;
  /** Tasks that may be open or not delivered; what exceeds that is dropped, counted and logged. */
  maxTasks?: number;
  /** Findings that may wait for the server. */
  maxFindings?: number;
  /** Time limit of a request. */
  timeoutMs?: number;
  /** First pause after a failure; doubles up to `retryCapMs`. */
  retryMs?: number;
  retryCapMs?: number;
}

export interface FindingDetails {
  protocolId?: string;
  /** An exact decimal, such as "2500.00"; never a number. */
  bounty?: string | bigint;
  description?: string;
}

/** A task that was begun. No call waits for the server; what is told after the task's end is ignored. */
export interface Task {
  readonly name: string;
  readonly protocolId: string;
  /** At most one report a second is sent, the newest. `eta`: a Date, or the seconds that are left. */
  progress(percent: number, options?: { eta?: Date | number | null }): void;
  /** `nextTask`: the name of the agent's next task; by default the next one of its queue follows. */
  complete(options?: { nextTask?: string | null }): void;
  /** `error`: an Error, whose name becomes the code, or a message. */
  fail(error: unknown, options?: { code?: string | null }): void;
  /** File a finding in the task's protocol. */
  file(title: string, severity: Severity, details?: FindingDetails): Promise<Vulnerability>;
}

export type Severity = VulnerabilityCreate["severity"];

/** Reports an agent's tasks and files its findings, without ever delaying or breaking the agent's own work. */
export declare class Agent {
  constructor(options: AgentOptions);
  /** `sent`: accepted reports and findings; `dropped`: never sent; `refused`: by the server for good. */
  readonly counters: { sent: number; dropped: number; refused: number; retries: number };
  /** The ends of tasks and the findings that the server has neither accepted nor refused yet. */
  readonly undelivered: string[];
  /** Begin a task. Throws TypeError if neither this nor the agent names a protocol. */
  task(name: string, options?: { protocolId?: string } | null): Task;
  /** Begin a task and do its work: COMPLETED when `work` returns, FAILED when it throws; the error goes on. */
  run<Result>(name: string, work: (task: Task) => Result | Promise<Result>): Promise<Result>;
  run<Result>(
    name: string,
    options: { protocolId?: string } | null,
    work: (task: Task) => Result | Promise<Result>,
  ): Promise<Result>;
  /** File a finding. A refusal rejects the promise, which need not be handled. */
  file(title: string, severity: Severity, details?: FindingDetails): Promise<Vulnerability>;
  /** Deliver what is left; open tasks are reported FAILED. Returns what was not delivered. */
  close(options?: { timeoutMs?: number }): Promise<string[]>;
}
