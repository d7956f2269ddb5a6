/** Values of `status`. RECONNECTING and RESYNCING: `state` may be out of date since `staleSince`. */
export const Status = Object.freeze({
  CONNECTING: "connecting",
  LIVE: "live",
  RECONNECTING: "reconnecting",
  RESYNCING: "resyncing",
  SIGNED_OUT: "signed out",
  ERROR: "error",
});

/** Options and their defaults; times in milliseconds. */
export const DEFAULTS = {
  agentBatches: false, // RUNNING updates of all agents as one event a second: for pages that show hundreds of them
  baseUrl: "", // the server's address; empty: the page's origin
  refreshMs: 20_000, // pause between two fetches without a loss
  restMs: 1_000, // shortest pause between two fetches
  jitterMs: 400, // longest random pause before a fetch or connection that many clients start at once
  retryMs: 500, // first pause after a failure; doubles up to `retryCapMs`
  retryCapMs: 15_000,
  silenceMs: 5_000, // ask for a sign of life when nothing was heard for so long; 0: never
  answerMs: 3_000, // without one within this time the server does not answer
  timeoutMs: 10_000, // time limit of a fetch, and of an attempt to connect
  fallbackAfter: 3, // failed attempts of Socket.IO in a row, while the server answers, until `fallback` is used
  returnMs: 300_000, // pause after which Socket.IO is tried again
  socketOptions: {}, // passed to Socket.IO
};
