/** The bodies of progress reports, made from what the agent's code passes. */

const MAX_MESSAGE = 2000;
const MAX_CODE = 64;

/** Values outside of 0 to 100 become the nearest. `eta`: a Date, or the seconds that are left. Throws TypeError, RangeError. */
export function running(percent, eta = null) {
  const number = typeof percent === "number" || typeof percent === "string" ? Number(percent) : NaN;
  if (!Number.isFinite(number)) throw new TypeError(`progress is ${String(percent)}, not a number from 0 to 100`);
  const progress = Math.round(Math.min(100, Math.max(0, number)) * 100) / 100;
  return { status: "RUNNING", progress, ...((eta ?? null) !== null && { estimatedCompletion: timestamp(eta) }) };
}

export const completed = (nextTask = null) => ({ status: "COMPLETED", ...(nextTask && { nextTask: String(nextTask) }) });

/** `error`: an Error, whose name becomes the code, or a message. Never throws. */
export function failed(error, code = null) {
  const kind = error instanceof Error ? error.name : null;
  const message = textOf(error instanceof Error ? error.message : error) || kind || "failed";
  const told = code ?? kind;
  return { status: "FAILED", error: { message: message.slice(0, MAX_MESSAGE), ...(told && { code: textOf(told).slice(0, MAX_CODE) }) } };
}

function textOf(value) {
  try {
    return String(value ?? "");
  } catch {
    return "";
  }
}

function timestamp(eta) {
  return new Date(typeof eta === "number" ? Date.now() + eta * 1000 : eta).toISOString();
}
