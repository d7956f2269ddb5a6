import { newKey } from "../token.js";
import { Lane } from "./lane.js";

const RUNNING_MS = 1_000; // between two RUNNING reports of a task

/**
 * The reports of an agent's tasks. A RUNNING report is replaced by the task's next one until it is sent, at most once a
 * second; a terminal update is sent until the server has accepted or refused it, in the order in which the tasks ended.
 */
export class Tasks {
  #records = new Set(); // open, or ended and not delivered
  #ended = [];
  #isClosed = false;
  #lane;
  #options;

  /** @param {object} options those of Lane, `maxTasks`, and `send(makeBody, key)`, which calls `makeBody()` when it sends */
  constructor(options) {
    this.#options = options;
    this.#lane = new Lane(() => this.#next(), options);
  }

  get undelivered() {
    return this.#ended.map(({ name, terminal }) => `${name}: ${terminal.status}`);
  }

  /** A record whose terminal update will not be dropped; of a task too many nothing is reported. */
  open(protocolId, name) {
    const record = { protocolId, name, key: newKey(), newest: null, due: 0, terminal: null, isDropped: false };
    const { maxTasks } = this.#options;
    if (this.#isClosed) this.#drop(record, "the agent is closed");
    else if (this.#records.size >= maxTasks) this.#drop(record, `${maxTasks} tasks are open or not delivered`);
    else this.#records.add(record);
    return record;
  }

  #drop(record, reason) {
    record.isDropped = true;
    this.#options.counters.dropped += 1;
    this.#options.log("task dropped", { ...contextOf(record), reason });
  }

  /** Note the report of a task that is not ended. */
  report(record, report) {
    if (record.terminal || record.isDropped) return;
    record.newest = report;
    this.#lane.wake();
  }

  end(record, report) {
    if (record.terminal || record.isDropped) return;
    record.terminal = report;
    record.newest = null;
    this.#ended.push(record);
    this.#lane.wake();
  }

  /** End the tasks that are open with this report, and do not pause for long any more. */
  finish(report) {
    this.#isClosed = true;
    for (const record of this.#records) this.end(record, report);
    this.#lane.hurry();
  }

  stop() {
    this.#lane.stop();
  }

  #next() {
    const [ended] = this.#ended;
    if (ended) return this.#delivery(ended);
    const waiting = [...this.#records].filter(({ newest }) => newest);
    return waiting.length ? this.#update(waiting.reduce((first, each) => (each.due < first.due ? each : first))) : null;
  }

  #delivery(record) {
    const settle = (error) => {
      this.#ended.shift();
      this.#records.delete(record);
      if (error) this.#refuse(record, record.terminal, error);
    };
    const attempt = () => this.#options.send(() => bodyOf(record, record.terminal), record.key);
    return { due: 0, isKept: true, context: contextOf(record), attempt, settle };
  }

  /** The newest report when it is sent, which a retry may replace. The next one replaces it, so it needs no key. */
  #update(record) {
    let sent = record.newest; // it may be gone when the task ends meanwhile
    const make = () => {
      sent = record.newest ?? sent;
      record.due = Date.now() + RUNNING_MS;
      return bodyOf(record, sent);
    };
    const attempt = () => this.#options.send(make);
    const settle = (error) => {
      if (record.newest === sent) record.newest = null;
      if (error) this.#refuse(record, sent, error);
    };
    return { due: record.due, isKept: false, context: contextOf(record), attempt, settle };
  }

  /** Of a task's RUNNING reports only the first refusal is logged. */
  #refuse(record, report, error) {
    this.#options.counters.refused += 1;
    const isKnown = record.isRefused && report.status === "RUNNING";
    record.isRefused = true;
    if (isKnown) return;
    this.#options.log("report refused", { ...contextOf(record), status: report.status, reason: error.message, code: error.code });
  }
}

const contextOf = ({ protocolId, name }) => ({ protocolId, task: name });
const bodyOf = ({ protocolId, name }, report) => ({ protocolId, task: name, ...report });
