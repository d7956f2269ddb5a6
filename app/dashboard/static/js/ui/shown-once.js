import { CopyButton } from "./copyable.js";
import { html, useEffect, useRef } from "./preact.js";

/** A secret right after it was made: the only moment at which anybody sees it. It is held in no storage. */
export function ShownOnce({ id, title, secret, label, warning, onDone, children }) {
  const place = useRef(null);
  useEffect(() => place.current.focus(), [secret]);
  return html`<section class="new-token" aria-labelledby="${id}-title">
    <h3 id="${id}-title">${title}</h3>
    <p class="warning"><strong>It is shown this once.</strong> ${warning}</p>
    <p class="copyable">
      <input ref=${place} readonly value=${secret} aria-label=${label} spellcheck="false" onFocus=${(event) => event.target.select()} />
      <${CopyButton} text=${secret} label="the ${label.toLowerCase()}" />
    </p>
    ${children}
    <button type="button" onClick=${onDone}>Done</button>
  </section>`;
}
