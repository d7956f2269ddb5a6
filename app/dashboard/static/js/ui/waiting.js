import { Status } from "../../vendor/client/room-client.js";
import { span } from "../time.js";
import { html, useEffect, useState } from "./preact.js";

/** Replaces the panels before the first state: says what is missing and what happens next. */
export function Waiting({ dashboard, onSignOut }) {
  const { room, listing } = dashboard;
  if (room) return html`<${Words} ...${ofRoom(room)} />`;
  if (listing.error) return html`<${Unread} listing=${listing} />`;
  if (listing.isRead && listing.items.length === 0) return html`<${NoneGranted} session=${dashboard.session} onSignOut=${onSignOut} />`;
  return html`<${Words} title="Loading…" isBusy text="Reading which protocols there are." />`;
}

function ofRoom({ error, status }) {
  if (!error) return { title: "Connecting…", text: "Fetching the present state.", isBusy: true };
  if (status !== Status.CONNECTING) return { title: "Nothing to show", text: error.detail };
  return { title: "The server cannot be reached", text: "It is tried again by itself.", isBusy: true };
}

function Unread({ listing }) {
  const { error, retryAt } = listing;
  return html`<${Words} role="alert" title="The protocols could not be read" text=${error.message}>
    ${retryAt !== null && html`<${Countdown} key=${retryAt} until=${retryAt} />`}
    <p><button onClick=${() => listing.load()}>Try now</button></p>
  <//>`;
}

/** Hidden from screen readers, which would read it every second. */
function Countdown({ until }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const ticker = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(ticker);
  }, []);
  return html`<p aria-hidden="true">${now < until ? `Next try in ${span(until - now)}.` : "Trying…"}</p>`;
}

function NoneGranted({ session, onSignOut }) {
  if (session.may()) {
    return html`<${Words} title="There is no protocol yet" text="Everything here belongs to a protocol: it has agents, a pool and findings.">
      <p><a class="button" href="?view=admin&section=protocols">Create the first protocol</a></p>
    <//>`;
  }
  if (session.grants.includes("*")) {
    return html`<${Words} title="There is no protocol yet" text="An admin creates it, on this page or with POST /api/v1/protocols. It appears here by itself." />`;
  }
  const whose = `The token of ${session.subject} names no protocol that exists.`;
  return html`<${Words} title="No protocol is granted to you" text=${`${whose} Ask your operator for one that does, or for the protocol to be made: it then appears here by itself.`}>
    <p><button onClick=${onSignOut}>Sign in with another token</button></p>
  <//>`;
}

const Words = ({ title, text, isBusy, role = "status", children }) => html`<div class="waiting" role=${role} aria-busy=${String(Boolean(isBusy))}>
  <h1>${title}</h1>
  <p>${text}</p>
  ${children}
</div>`;
