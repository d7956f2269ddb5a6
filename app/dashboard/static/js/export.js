import { Problem } from "./api.js";

const CSV = "text/csv";
const STALL_MS = 30_000;
const MAX_BYTES = 200_000_000; // of memory; a selection that is larger is exported in parts

/**
 * Read a list as CSV and save it under the server's file name.
 *
 * @param {(path: string, headers: object, signal: AbortSignal) => Promise<Response>} open see Api.open
 * @param {{onProgress: (bytes: number) => void, signal: AbortSignal}} options `signal` stops it: the promise is then
 *   rejected with the signal's reason
 * @returns the name of the file
 */
export async function exportCsv(open, path, { onProgress, signal, save = saveFile }) {
  const answer = await open(path, { Accept: CSV }, signal);
  if (!answer.headers.get("Content-Type")?.startsWith(CSV)) throw new Problem(0, { detail: "The server did not answer with CSV." });
  const blob = await readAll(answer.body.getReader(), onProgress, signal);
  const name = fileName(answer.headers.get("Content-Disposition"));
  save(blob, name);
  return name;
}

/** The whole body. A connection that ends early, or stalls, is an error: no part is taken for the whole. */
async function readAll(reader, onProgress, signal) {
  const parts = [];
  let bytes = 0;
  for (;;) {
    const { done, value } = await next(reader, signal);
    signal.throwIfAborted();
    if (done) return new Blob(parts, { type: CSV });
    parts.push(value);
    bytes += value.length;
    if (bytes > MAX_BYTES) {
      reader.cancel().catch(() => {});
      throw new Problem(0, { detail: "This is too much for one file: choose a shorter period." });
    }
    onProgress(bytes);
  }
}

async function next(reader, signal) {
  let timer;
  const stalled = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("stalled")), STALL_MS);
  });
  try {
    return await Promise.race([reader.read(), stalled]);
  } catch {
    reader.cancel().catch(() => {});
    signal.throwIfAborted();
    throw new Problem(0, { detail: "The export broke off, and nothing was saved. Try it again." });
  } finally {
    clearTimeout(timer);
  }
}

/** The name in a Content-Disposition header. */
export const fileName = (header) => /filename="([^"]+)"/.exec(header ?? "")?.[1] ?? "export.csv";

function saveFile(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
