import { Api } from "./api.js";
import { Dashboard } from "./dashboard.js";
import { withCurrency } from "./money.js";
import { Session } from "./session.js";
import { App } from "./ui/app.js";
import { html, render } from "./ui/preact.js";
import { SignIn } from "./ui/sign-in.js";

const PROTOCOL = "protocol";
const root = document.getElementById("app");
let dashboard = null;

const session = await Session.open();
sessionStorage.removeItem("dashboard.loadTries");
root.replaceChildren();
begin();

function begin(fault = null) {
  dashboard?.close();
  dashboard = null;
  if (!session.isSignedIn) return render(html`<${SignIn} session=${session} fault=${fault} onSignedIn=${onSignedIn} />`, root);
  const query = new URLSearchParams(location.search);
  const asked = query.get(PROTOCOL) || null;
  dashboard = new Dashboard(session, new Api(session), { onEnter: (protocol) => onEnter(protocol, asked), onRefused: signOut });
  const handlers = { onSwitch: switchTo, onRole: chooseRole, onSignOut: () => signOut() };
  const draw = () => {
    document.title = titleOf(dashboard);
    render(html`<${App} dashboard=${dashboard} ...${handlers} />`, root);
  };
  dashboard.onDraw(draw);
  draw();
  dashboard.open(asked ?? session.demo?.protocolId);
  if (query.has("inspect")) window.dashboard = dashboard;
}

/** Move the focus to the content, since the focused form has been removed. */
function onSignedIn() {
  begin();
  document.getElementById("main").focus();
}

/** Set the address to the shown protocol if the requested one is not available. */
function onEnter({ id, name }, asked) {
  if (!asked || asked === id) return;
  setAddress(id);
  dashboard.say(`The protocol “${asked}” is not among yours: this is ${name}.`, "bad");
}

function switchTo(protocolId) {
  setAddress(protocolId);
  dashboard.switchTo(protocolId);
}

function setAddress(protocolId) {
  const url = new URL(location.href);
  url.searchParams.set(PROTOCOL, protocolId);
  history.replaceState(null, "", url);
}

function chooseRole(role) {
  session.chooseRole(role);
  begin();
}

function signOut(fault = null) {
  session.signOut();
  begin(fault);
}

/** The browser tab's title. */
function titleOf({ state, isStale }) {
  if (!state?.pool) return "Dashboard Realtime";
  return `${isStale ? "(stale) " : ""}${withCurrency(state.pool.available, state.pool.currency)} · ${state.protocol.name}`;
}
