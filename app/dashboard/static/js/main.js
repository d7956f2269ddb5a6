import { Address } from "./address.js";
import { Api } from "./api.js";
import { Dashboard } from "./dashboard.js";
import { Drafts } from "./drafts.js";
import { withCurrency } from "./money.js";
import { notify, setBadge } from "./notifications.js";
import { Session } from "./session.js";
import { App } from "./ui/app.js";
import { html, render } from "./ui/preact.js";
import { SignIn } from "./ui/sign-in.js";
import { VIEWS, viewOf } from "./ui/views/index.js";

const root = document.getElementById("app");
const address = new Address(() => {
  enter();
  dashboard?.redraw();
});
let dashboard = null;

const session = await Session.open();
sessionStorage.removeItem("dashboard.loadTries");
root.replaceChildren();
document.addEventListener("click", followLink);
session.onChange = ({ isOther }) => (isOther || !dashboard ? begin() : dashboard.resume());
begin();

function begin(fault = null) {
  dashboard?.close();
  dashboard = null;
  if (!session.isSignedIn) return render(html`<${SignIn} session=${session} fault=${fault} onSignedIn=${onSignedIn} />`, root);
  dashboard = new Dashboard(session, new Api(session), { onListing: enter, onRefused: signOut, onAlert: (alert) => notify(alert.text, alert.key, () => address.go(alert.target)) });
  const handlers = { onRole: chooseRole, onSignOut: leave };
  const draw = () => {
    document.title = titleOf(dashboard);
    setBadge(dashboard.alerts?.unseen.size > 0);
    render(html`<${App} dashboard=${dashboard} address=${address} ...${handlers} />`, root);
  };
  dashboard.onDraw(draw);
  draw();
  dashboard.open();
  if (new URLSearchParams(location.search).has("inspect")) window.dashboard = dashboard;
}

/** Move the focus to the content, since the focused form has been removed. */
function onSignedIn() {
  begin();
  document.getElementById("main").focus();
}

/** Enter the room of the address. If its protocol is not granted, correct the address to the one that is shown. */
function enter() {
  const { listing, protocols } = dashboard ?? {};
  if (!listing?.isRead || protocols.length === 0) return;
  if (VIEWS[viewOf(session, address.values, protocols)].isWithoutProtocol) return dashboard.leave();
  const asked = address.values.protocol;
  const { id, name } = listing.choose(asked || session.demo?.protocolId);
  dashboard.enter(id);
  if (asked === id) return;
  if (asked) dashboard.say(`The protocol “${asked}” is not among yours: this is ${name}.`, "bad");
  address.go({ protocol: id }, { isCorrection: true });
}

/** Links within the page change its state instead of loading it again. */
function followLink(event) {
  const link = event.target.closest?.("a[href]:not([target], [download])");
  const isPlain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.defaultPrevented);
  if (dashboard && link && isPlain && !link.hash && address.follow(link.href)) event.preventDefault();
}

function chooseRole(role) {
  session.chooseRole(role);
  begin();
}

function signOut(fault = null) {
  session.signOut();
  begin(fault);
}

/** Signed out by choice: nothing of the user stays. */
function leave() {
  new Drafts(null).clear();
  signOut();
}

/** The browser tab's title, with the number of unseen alerts. */
function titleOf({ state, isStale, alerts }) {
  if (!state?.pool) return "Dashboard Realtime";
  const unseen = alerts.unseen.size ? `(${alerts.unseen.size}) ` : "";
  return `${unseen}${isStale ? "(stale) " : ""}${withCurrency(state.pool.available, state.pool.currency)} · ${state.protocol.name}`;
}
