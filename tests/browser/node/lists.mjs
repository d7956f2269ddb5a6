import { pause } from "./room.mjs";

/** Pauses that tests can wait for. */
export const QUICK = { jitterMs: 1, retryMs: 2, retryCapMs: 5 };

/** The page's API in memory: answers by path, each as slow and as faulty as a test says. */
export class FakeApi {
  asked = [];
  /** How many of the next reads fail, and with what. */
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

export async function until(condition, what = condition.toString()) {
  for (let tries = 0; tries < 4000; tries += 1) {
    if (condition()) return;
    await pause(5);
  }
  throw new Error(`never: ${what}`);
}
