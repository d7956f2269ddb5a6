import { Problem } from "./api.js";
import { Session } from "./session.js";
import { Operations } from "./ui/operations.js";
import { OperatorSignIn } from "./ui/operator-sign-in.js";
import { html, render } from "./ui/preact.js";

const POLL_MS = 2000;
const WATCHED_MS = 15 * 60_000;
const MAX_READINGS = 500; // a few more than are made in that time
const NOTHING_READ = { status: null, fault: null, readAt: null, past: [] };
const root = document.getElementById("app");
const session = await Session.open();
let view = NOTHING_READ;
/** Why polling has stopped: the page needs another role, or the token is no longer accepted. */
let refusal = null;

sessionStorage.removeItem("dashboard.loadTries");
root.replaceChildren();
session.onChange = begin;
begin();
for (;;) {
  await new Promise((done) => setTimeout(done, POLL_MS));
  if (mayRead() && !document.hidden) await refresh();
}

function mayRead() {
  return session.isSignedIn && !refusal;
}

function begin() {
  view = NOTHING_READ;
  refusal = session.isSignedIn && !session.may() ? { role: session.role } : null;
  if (mayRead()) refresh();
  draw();
}

async function refresh() {
  try {
    const status = await read();
    const readAt = Date.now();
    const kept = view.past.filter(({ at }) => readAt - at < WATCHED_MS).slice(1 - MAX_READINGS);
    const past = [...kept, { at: readAt, events: status.events, readings: status.readings, agents: status.agents }];
    view = { status, fault: null, readAt, past };
  } catch (fault) {
    if (fault.status === 401) signOut(fault.message);
    else if (fault.status === 403) refusal = { role: session.role };
    else view = { ...view, fault };
  }
  draw();
}

async function read() {
  const headers = { Authorization: `Bearer ${await session.token()}` };
  const answer = await fetch("/ops/status", { headers }).catch(() => null);
  if (!answer) throw new Problem(0, { detail: "The server could not be reached; trying again." });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(answer.status, body);
  return body;
}

function signOut(fault = null) {
  session.signOut();
  view = NOTHING_READ;
  refusal = { fault };
  draw();
}

function draw() {
  const page = mayRead()
    ? html`<${Operations} ...${view} onSignOut=${() => signOut()} />`
    : html`<${OperatorSignIn} key=${refusal?.role} session=${session} refusal=${refusal} onSignedIn=${begin} />`;
  render(page, root);
}
