import { html, useEffect, useRef, useState } from "./preact.js";
import { areShortcutsOn, setShortcuts } from "./shortcuts.js";

const KEYS = [
  ["Ctrl K or Cmd K", "Search findings, views and actions"],
  ["/", "Search the list, or as Ctrl K"],
  ["j, k", "Next, previous finding"],
  ["Enter", "Open the finding"],
  ["c, r", "Confirm, reject it"],
  ["Escape", "Close the panel or dialog"],
  ["?", "Show this help"],
];

/** `?`: what the keys do, and the switch that turns them off. */
export function Help({ onClose }) {
  const dialog = useRef(null);
  const [isOn, setOn] = useState(areShortcutsOn());
  useEffect(() => dialog.current.showModal(), []);
  const toggle = (event) => {
    setShortcuts(event.target.checked);
    setOn(event.target.checked);
  };
  return html`<dialog ref=${dialog} class="dialog" aria-labelledby="help-title" onClose=${onClose}>
    <div class="help">
      <h2 id="help-title">Keyboard</h2>
      <dl class="keys">
        ${KEYS.map(([keys, meaning]) => html`<div key=${keys}><dt><kbd>${keys}</kbd></dt><dd>${meaning}</dd></div>`)}
      </dl>
      <label class="switch"><input type="checkbox" checked=${isOn} onChange=${toggle} /> Keys without Ctrl or Cmd are on</label>
      <div class="dialog-buttons"><button onClick=${() => dialog.current.close()}>Close</button></div>
    </div>
  </dialog>`;
}
