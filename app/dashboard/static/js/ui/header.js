import { areOn, isPossible, toggle } from "../notifications.js";
import { Status } from "../../vendor/client/room-client.js";
import { clockTime, span } from "../time.js";
import { html, useState } from "./preact.js";
import { PaletteButton } from "./shortcuts.js";
import { currentTheme, nextTheme } from "./theme.js";

const STATUS_WORDS = {
  [Status.CONNECTING]: "Connecting",
  [Status.LIVE]: "Live",
  [Status.RECONNECTING]: "Reconnecting",
  [Status.RESYNCING]: "Catching up",
  [Status.SIGNED_OUT]: "Signed out",
  [Status.ERROR]: "Not available",
};

export function Header({ dashboard, address, onRole, onSignOut }) {
  const { session, room, protocols, status, isConnectable } = dashboard;
  return html`<header class="bar">
    <a class="skip" href="#main">Skip to the content</a>
    <span class="brand"><img src="/static/mark.svg" alt="" width="22" height="22" /><h1>Dashboard</h1></span>
    <${ProtocolSwitch} ...${{ protocols, current: room?.protocolId, onSwitch: (protocol) => address.go(room && protocol ? { protocol } : { protocol, view: "" }) }} />
    ${isConnectable && html`<span class="pill status-${status.replace(" ", "-")}" role="status" data-status=${status}>
      <span class="pill-dot" aria-hidden="true"></span>${wordsOf(room, status)}
    </span>`}
    <span class="bar-space"></span>
    <nav class="bar-links" aria-label="More pages">
      ${session.may() && html`<a href="/ops">Operations</a>`}
      <a href="/docs">API</a>
    </nav>
    ${session.isDemo
      ? html`<${RoleSwitch} roles=${Object.keys(session.demo.roles)} current=${session.role} onRole=${onRole} />`
      : html`<span class="who">${session.subject === session.role ? session.role : `${session.subject} · ${session.role}`}</span>`}
    <${PaletteButton} />
    <${NotificationsButton} dashboard=${dashboard} />
    <${ThemeButton} />
    <button class="quiet" onClick=${onSignOut}>${session.isDemo ? "Use a token" : "Sign out"}</button>
  </header>`;
}

function ProtocolSwitch({ protocols, current, onSwitch }) {
  if (protocols.length < 2) return html`<span class="protocol-name" dir="auto">${protocols[0]?.name ?? ""}</span>`;
  return html`<label class="protocol-switch">
    <span class="visually-hidden">Protocol</span>
    <select value=${current ?? ""} onChange=${(event) => onSwitch(event.target.value)}>
      <option value="" selected=${!current}>All protocols</option>
      ${protocols.map(({ id, name }) => html`<option key=${id} value=${id} selected=${id === current}>${name}</option>`)}
    </select>
  </label>`;
}

function RoleSwitch({ roles, current, onRole }) {
  return html`<div class="segments" role="group" aria-label="View the demo as">
    ${roles.map(
      (role) => html`<button key=${role} aria-pressed=${String(role === current)} onClick=${() => onRole(role)}>${role}</button>`,
    )}
  </div>`;
}

function NotificationsButton({ dashboard }) {
  const [isOn, setOn] = useState(areOn());
  if (!isPossible()) return null;
  const change = async () => {
    const fault = await toggle();
    setOn(areOn());
    dashboard.say(fault ?? (areOn() ? "Notifications are on: critical findings and failed payments." : "Notifications are off."), fault ? "bad" : "good");
  };
  const name = `Notifications: ${isOn ? "on" : "off"}`;
  return html`<button class="quiet icon" onClick=${change} aria-label="${name}. Change" title=${name}>
    <svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true" fill=${isOn ? "currentColor" : "none"} stroke="currentColor" stroke-width="1.6" stroke-linejoin="round">
      <path d="M5 14V9a5 5 0 0 1 10 0v5l1.5 1.5h-13zM8.5 18h3" />
    </svg>
  </button>`;
}

export function ThemeButton() {
  const [theme, setTheme] = useState(currentTheme());
  return html`<button class="quiet icon theme" onClick=${() => setTheme(nextTheme())} aria-label="Colours: ${theme}. Change" title="Colours: ${theme}">
    <svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true">
      <circle cx="10" cy="10" r="7" fill=${theme === "dark" ? "currentColor" : "none"} stroke="currentColor" stroke-width="1.6" />
      ${theme === "auto" && html`<path d="M10 3a7 7 0 0 1 0 14z" fill="currentColor" />`}
    </svg>
  </button>`;
}

function wordsOf(room, status) {
  if (isSilent(room)) return "No answer";
  return status === Status.LIVE && room?.transport === "stream" ? "Live over a plain stream" : STATUS_WORDS[status];
}

const isSilent = (room) => room?.error?.code === "SILENT" && room.status !== Status.LIVE;

/** While the page is not live, says since when its data may be out of date. */
export function StaleBanner({ dashboard, onRenew }) {
  const { room } = dashboard;
  if (!room || !dashboard.isStale || (room.status === Status.CONNECTING && !room.error)) return null;
  const since = dashboard.state && room.staleSince ? ` Everything shown is as of ${clockTime(room.staleSince)} and may be old.` : "";
  const words = {
    [Status.CONNECTING]: "The server cannot be reached; trying again.",
    [Status.RECONNECTING]: `${isSilent(room) ? "The server does not answer." : "The connection is lost; trying again."}${since}`,
    [Status.RESYNCING]: `Connected again; fetching what was missed.${since}`,
    [Status.SIGNED_OUT]: `You are signed out: ${room.error?.detail ?? "the token is not valid any longer."}${since}`,
    [Status.ERROR]: room.error?.detail ?? "The server refused.",
  };
  return html`<div class="banner status-${room.status.replace(" ", "-")}" role="alert">
    ${words[room.status]}
    ${since && html`<span class="soft" aria-hidden="true">${span(Date.now() - room.staleSince)} old</span>`}
    ${room.status === Status.SIGNED_OUT && html`<button onClick=${onRenew}>Sign in again</button>`}
  </div>`;
}
