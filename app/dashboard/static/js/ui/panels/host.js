import { PANEL_PARAMETERS } from "../../address.js";
import { html, useEffect, useRef } from "../preact.js";
import { PANELS } from "./index.js";

const CLOSED = Object.fromEntries(PANEL_PARAMETERS.map((name) => [name, ""]));

/** Shows the panel that the address names, beside the view. */
export function PanelHost({ address, ...shared }) {
  const name = Object.keys(PANELS).find((each) => address.values[each]);
  if (!name || !shared.state) return null;
  const id = address.values[name];
  return html`<${PANELS[name]} key="${name} ${id}" ...${{ id, address, ...shared }} />`;
}

/** The frame of a panel: heading, close button, Escape, and the focus, which returns to where it was. */
export function SidePanel({ title, address, children }) {
  const place = useRef(null);
  const close = () => address.go(CLOSED);
  useEffect(() => {
    const before = document.activeElement;
    place.current.focus();
    return () => before?.isConnected && before !== document.body && before.focus();
  }, []);
  const onKeyDown = (event) => event.key === "Escape" && !event.defaultPrevented && close();
  return html`<aside class="side-panel" ref=${place} tabindex="-1" aria-labelledby="side-panel-title" onKeyDown=${onKeyDown}>
    <header class="panel-head">
      <h2 id="side-panel-title" dir="auto">${title}</h2>
      <button class="quiet" onClick=${close} aria-label="Close" title="Close (Escape)">✕</button>
    </header>
    ${children}
  </aside>`;
}
