const { setTimeout } = globalThis; // the real one, also where a test's time is virtual

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** Wait until `condition()` is true. */
export async function until(condition, what = condition.toString()) {
  for (let tries = 0; tries < 4000; tries += 1) {
    if (condition()) return;
    await pause(5);
  }
  throw new Error(`never: ${what}`);
}
