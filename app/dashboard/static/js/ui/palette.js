import { commandsFor } from "../commands.js";
import { html, useEffect, useRef, useState } from "./preact.js";
import { openOverlay } from "./shortcuts.js";
import { nextTheme } from "./theme.js";
import { viewsOf } from "./views/index.js";

const MORE = [
  { group: "Page", label: "Show the keyboard shortcuts", run: () => openOverlay("help") },
  { group: "Page", label: "Change the colours: light, dark, automatic", run: () => nextTheme() },
];
const MAX_TEXT = 200;

/** Ctrl K: a field and the commands that match it (the combobox pattern of the ARIA Authoring Practices). */
export function Palette({ dashboard, actions, address, onClose }) {
  const dialog = useRef(null);
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState(0);
  useEffect(() => dialog.current.showModal(), []);
  useEffect(() => dialog.current.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" }), [chosen]);
  const commands = commandsFor({ dashboard, actions, address, views: viewsOf(dashboard.session, dashboard.protocols) }, text, MORE);
  const at = Math.min(chosen, commands.length - 1);
  const run = (command) => {
    dialog.current.close();
    command?.run();
  };
  const moves = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + 8, PageUp: at - 8 };
  const onKeyDown = (event) => {
    if (event.isComposing || !(event.key in moves || event.key === "Enter")) return;
    event.preventDefault();
    if (event.key === "Enter") run(commands[at]);
    else setChosen(moved(moves[event.key], commands.length, event.key.startsWith("Arrow")));
  };
  const change = (event) => {
    setText(event.target.value);
    setChosen(0);
  };
  return html`<dialog ref=${dialog} class="dialog palette" aria-label="Search and commands" onClose=${onClose} onClick=${closeOutside}>
    <input
      type="text" role="combobox" aria-label="Search findings, views and actions" placeholder="Search findings, views and actions" autocomplete="off" spellcheck=${false}
      maxlength=${MAX_TEXT} value=${text} aria-expanded=${String(commands.length > 0)} aria-controls="palette-list" aria-autocomplete="list"
      aria-activedescendant=${commands.length ? `palette-${at}` : undefined} onInput=${change} onKeyDown=${onKeyDown}
    />
    <ul id="palette-list" role="listbox" aria-label="Commands">
      ${commands.map(
        ({ key, group, label, detail }, index) => html`<li key=${key} id="palette-${index}" role="option" aria-selected=${String(index === at)} onClick=${() => run(commands[index])}>
          <span class="palette-group">${group}</span><span class="clip" dir="auto">${label}</span>${detail && html`<span class="soft clip" dir="auto">${detail}</span>`}
        </li>`,
      )}
    </ul>
    ${commands.length === 0 && html`<p class="none" role="status">Nothing matches.</p>`}
  </dialog>`;
}

/** Arrows go round; pages stop at the ends. */
const moved = (to, count, isRound) => (isRound ? (to + count) % count : Math.max(0, Math.min(count - 1, to)));

/** A click on the backdrop is one on the dialog itself. */
const closeOutside = (event) => event.target === event.currentTarget && event.currentTarget.close();
