import { pause } from "../../../clients/js/test/waiting.mjs";

/** Short pauses for tests. */
export const QUICK = { jitterMs: 1, retryMs: 2, retryCapMs: 5 };

/** An in-memory API of the page: responses by path, with the delays and failures that a test sets. */
export class FakeApi {
  asked = [];
  /** The errors with which the next reads fail. */
  failures = [];

  /** @param {(path: string) => unknown} answer */
  constructor(answer) {
    this.answer = answer;
  }

  async get(path) {
    this.asked.push(path);
    const failure = this.failures.shift();
    const body = structuredClone(failure ? null : await this.answer(path));
    await pause(1);
    if (failure) throw failure;
    return body;
  }

  async *pages(path) {
    yield await this.get(path);
  }
}
