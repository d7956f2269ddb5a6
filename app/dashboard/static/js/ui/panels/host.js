import { PANEL_PARAMETERS } from "../../address.js";
import { html, useEffect, useRef } from "../preact.js";
import { PANELS } from "./index.js";

const CLOSED = Object.fromEntries(PANEL_PARAMETERS.map((name) => [name, ""]));
const TYPED_INTO = "input, textarea, select, [contenteditable]";

/** Shows the panel that the address names, beside the view. A panel with `isKept` stays when its id changes. */
export function PanelHost({ address, ...shared }) {
  const name = Object.keys(PANELS).find((each) => address.values[each]);
  if (!name || !shared.state) return null;
  const id = address.values[name];
  const Shown = PANELS[name];
  return html`<${Shown} key=${Shown.isKept ? "kept" : `${name} ${id}`} ...${{ id, name, address, ...shared }} />`;
}

/**
 * The frame of a panel: heading, close button, Escape, and the focus, which returns to where it was, or to the element
 * that `returnTo` selects. `lead` stands before the title, `tools` beside it, `foot` below the scrolling content.
 */
export function SidePanel({ title, lead, tools, foot, returnTo, subject, address, children }) {
  const place = useRef(null);
  const target = useRef(null);
  target.current = returnTo;
  useEffect(() => keepFocus(place.current, target), []);
  useEffect(() => showFromTop(place.current), [subject]);
  useEffect(() => closeOnEscape(() => address.go(CLOSED)), []);
  return html`<aside class="side-panel" ref=${place} tabindex="-1" aria-labelledby="side-panel-title">
    <header class="panel-head">
      <div class="side-panel-title">${lead}<h2 id="side-panel-title" dir="auto">${title}</h2></div>
      <div class="side-panel-tools">
        ${tools}
        <button class="quiet" onClick=${() => address.go(CLOSED)} aria-label="Close" title="Close (Escape)"><${Icon} shape="M5 5l10 10M15 5L5 15" /></button>
      </div>
    </header>
    <div class="side-panel-content">${children}</div>
    ${foot && html`<footer class="side-panel-foot">${foot}</footer>`}
  </aside>`;
}

export const Icon = ({ shape }) => html`<svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.8">
  <path d=${shape} />
</svg>`;

/** Returns the clean-up, which gives the focus back. */
function keepFocus(panel, target) {
  const before = document.activeElement;
  panel.focus();
  return () => {
    const isElsewhere = document.activeElement !== document.body && !panel.contains(document.activeElement);
    if (isElsewhere) return;
    const row = target.current && document.querySelector(target.current);
    const back = row ?? (before?.isConnected && before !== document.body ? before : document.getElementById("main"));
    back?.focus({ preventScroll: !row });
  };
}

/** Another subject is read from its beginning; whoever steps with the buttons stays on them. */
function showFromTop(panel) {
  panel.querySelector(".side-panel-content").scrollTo(0, 0);
  if (!document.activeElement?.closest(".side-panel-tools")) panel.focus({ preventScroll: true });
}

function closeOnEscape(close) {
  const onKeyDown = (event) => {
    const isElsewhere = event.defaultPrevented || event.target.closest?.(TYPED_INTO) || document.querySelector("dialog[open]");
    if (event.key === "Escape" && !isElsewhere) close();
  };
  document.addEventListener("keydown", onKeyDown);
  return () => document.removeEventListener("keydown", onKeyDown);
}
