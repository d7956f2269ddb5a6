import { Findings } from "./agent/findings.js";
import { completed, failed, running } from "./agent/reports.js";
import { Tasks } from "./agent/tasks.js";
import { send } from "./request.js";
import { claimsOf, tokenReader } from "./token.js";

export { ApiError } from "./request.js";

const DEFAULTS = {
  baseUrl: "",
  protocolId: null, // of tasks and findings that name none
  maxTasks: 10_000, // that are open or not delivered
  maxFindings: 1_000, // that wait for the server
  timeoutMs: 10_000, // of a request
  retryMs: 500, // first pause after a failure; doubles up to `retryCapMs`
  retryCapMs: 10_000,
  jitterMs: 0,
};
const CLOSE_MS = 10_000;
const POLL_MS = 10;

/**
 * Reports an agent's tasks and files its findings. No call waits for the server, and none throws because of a report:
 *
 *   const agent = new Agent({ baseUrl, token, protocolId: "P1" });
 *   await agent.run("Scan Vault.sol", async (task) => {
 *     task.progress(40, { eta: 90 });
 *     agent.file("Reentrancy in withdraw()", "CRITICAL", { bounty: "2500.00" });
 *   });
 *   await agent.close();
 *
 * A task's newest RUNNING report is sent, at most one a second. The end of a task (COMPLETED, FAILED) is sent until the
 * server has accepted or refused it, also when the server is away for minutes.
 */
export class Agent {
  /** `sent`: accepted reports and findings; `dropped`: never sent; `refused`: by the server for good; `retries`. */
  counters = { sent: 0, dropped: 0, refused: 0, retries: 0 };

  #options;
  #tasks;
  #findings;

  /**
   * @param {object} options `token`: the agent's token, or a function that returns the current one or a promise of it;
   *   optionally `agentId` (by default the token's `sub`), `fetch`, `log(event, details)` (by default console.warn), and
   *   any of `DEFAULTS`.
   */
  constructor(options) {
    const shared = { isTokenRenewable: typeof options.token === "function", counters: this.counters };
    const log = (event, details) => this.#log(event, details);
    const fetch = (...args) => globalThis.fetch(...args);
    this.#options = { fetch, ...DEFAULTS, ...options, token: tokenReader(options.token) };
    const report = async (make, key) => this.#post(`/agents/${encodeURIComponent(await this.#agentId())}/progress`, make, key);
    const file = (protocolId, make, key) => this.#post(`/protocols/${encodeURIComponent(protocolId)}/vulnerabilities`, make, key);
    this.#tasks = new Tasks({ ...this.#options, ...shared, log, send: report });
    this.#findings = new Findings({ ...this.#options, ...shared, log, send: file });
  }

  /** The ends of tasks and the findings that the server has neither accepted nor refused yet. */
  get undelivered() {
    return [...this.#tasks.undelivered, ...this.#findings.undelivered];
  }

  /** Begin a task. Throws TypeError if neither this nor the agent names a protocol. */
  task(name, options) {
    const record = this.#tasks.open(this.#protocolOf(options), String(name));
    this.#tasks.report(record, running(0));
    return new Task(this, this.#tasks, record, (reason) => this.#drop(record, reason));
  }

  /** Begin a task and do its work: COMPLETED when `work(task)` returns, FAILED when it throws; the error goes on. */
  async run(name, options, work = options) {
    const task = this.task(name, work === options ? null : options);
    try {
      const result = await work(task);
      task.complete();
      return result;
    } catch (error) {
      task.fail(error);
      throw error;
    }
  }

  /**
   * File a finding. Returns a promise of the filed vulnerability; a refusal rejects it, which need not be handled.
   * @param {object} [details] `protocolId`, `bounty` (a decimal string), `description`
   */
  file(title, severity, details) {
    const { protocolId, ...finding } = { title, severity, ...details };
    if (typeof finding.bounty === "bigint") finding.bounty = String(finding.bounty);
    return this.#findings.file(this.#protocolOf({ protocolId }), finding);
  }

  /**
   * Deliver what is left, for at most `timeoutMs`; tasks that are open are reported FAILED. Returns (and logs) what was
   * not delivered.
   */
  async close({ timeoutMs = CLOSE_MS } = {}) {
    const until = Date.now() + timeoutMs;
    this.#tasks.finish(failed("The agent ended before its task.", "AGENT_CLOSED"));
    this.#findings.hurry();
    while (this.undelivered.length && Date.now() < until) await new Promise((done) => setTimeout(done, POLL_MS));
    const left = this.undelivered;
    this.#tasks.stop();
    this.#findings.stop();
    if (left.length) this.#log("closed with undelivered", { count: left.length, undelivered: left.slice(0, 20) });
    return left;
  }

  #protocolOf(options) {
    const found = options?.protocolId ?? this.#options.protocolId;
    if (!found) throw new TypeError("Pass `protocolId`, here or to the agent.");
    return found;
  }

  #drop(record, reason) {
    this.counters.dropped += 1;
    this.#log("report dropped", { protocolId: record.protocolId, task: record.name, reason });
  }

  async #agentId() {
    const id = this.#options.agentId ?? claimsOf(await this.#options.token())?.sub;
    if (!id) throw new TypeError("The token names no agent: pass `agentId`.");
    return id;
  }

  async #post(path, makeBody, key) {
    const { fetch, baseUrl, timeoutMs } = this.#options;
    const token = await this.#options.token();
    const headers = { "Content-Type": "application/json", ...(key && { "Idempotency-Key": key }) };
    const request = { method: "POST", headers, body: JSON.stringify(makeBody()), signal: AbortSignal.timeout(timeoutMs) };
    const answer = await send(fetch, `${baseUrl}/api/v1${path}`, token, request);
    return answer.json();
  }

  /** A log that fails must not break the agent's work. */
  #log(event, details) {
    try {
      const { log = (...entry) => console.warn("dashboard agent:", ...entry) } = this.#options;
      log(event, details);
    } catch {
      // There is nowhere left to tell it.
    }
  }
}

/** A task that was begun. What is told after its end is ignored. */
class Task {
  #agent;
  #tasks;
  #record;
  #drop;

  constructor(agent, tasks, record, drop) {
    this.#agent = agent;
    this.#tasks = tasks;
    this.#record = record;
    this.#drop = drop;
  }

  get name() {
    return this.#record.name;
  }

  get protocolId() {
    return this.#record.protocolId;
  }

  /** Tell how far the task is. `eta`: when it will be completed, as a Date or in seconds from now. */
  progress(percent, options) {
    try {
      this.#tasks.report(this.#record, running(percent, options?.eta));
    } catch (error) {
      this.#drop(error.message);
    }
  }

  /** `nextTask`: the name of the agent's next task; by default the next one of its queue follows. */
  complete(options) {
    this.#tasks.end(this.#record, completed(options?.nextTask));
  }

  /** @param {unknown} error an Error, whose name becomes the code, or a message */
  fail(error, options) {
    this.#tasks.end(this.#record, failed(error, options?.code));
  }

  /** File a finding in the task's protocol. */
  file(title, severity, details) {
    return this.#agent.file(title, severity, { protocolId: this.protocolId, ...details });
  }
}
