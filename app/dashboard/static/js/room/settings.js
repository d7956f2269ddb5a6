/** What `status` can be. RECONNECTING and RESYNCING: `state` is shown, but since `staleSince` it may be old. */
export const Status = Object.freeze({
  CONNECTING: "connecting",
  LIVE: "live",
  RECONNECTING: "reconnecting",
  RESYNCING: "resyncing",
  SIGNED_OUT: "signed out",
  ERROR: "error",
});

/** What a client may set otherwise; times in milliseconds. */
export const DEFAULTS = {
  agentBatches: false, // RUNNING updates of all agents as one event a second: for pages that show hundreds of them
  baseUrl: "", // where the server is; empty: where the page came from
  refreshMs: 20_000, // pause between two fetches while nothing is amiss
  restMs: 1_000, // shortest pause between two fetches
  jitterMs: 400, // longest random pause before a fetch or a new connection that many clients want at once
  retryMs: 500, // first pause after a failure; doubles up to `retryCapMs`
  retryCapMs: 15_000,
  timeoutMs: 10_000, // how long a fetch may take
  socketOptions: {}, // for Socket.IO
};
