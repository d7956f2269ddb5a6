import { Problem } from "./api.js";
import { Session } from "./session.js";
import { Operations } from "./ui/operations.js";
import { html, render } from "./ui/preact.js";
import { SignIn } from "./ui/sign-in.js";

const EVERY_MS = 2000;
const root = document.getElementById("app");
const session = await Session.open();
let view = { status: null, fault: null, readAt: null };

sessionStorage.removeItem("dashboard.loadTries");
root.replaceChildren();
draw();
for (;;) {
  if (session.isSignedIn && !document.hidden) await look();
  await new Promise((done) => setTimeout(done, EVERY_MS));
}

async function look() {
  try {
    view = { status: await read(), fault: null, readAt: Date.now() };
  } catch (fault) {
    view = { ...view, fault };
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

function draw() {
  const signOut = () => {
    session.signOut();
    view = { status: null, fault: null, readAt: null };
    draw();
  };
  const page = session.isSignedIn
    ? html`<${Operations} ...${view} onSignOut=${signOut} />`
    : html`<${SignIn} session=${session} onSignedIn=${() => look()} />`;
  render(page, root);
}
