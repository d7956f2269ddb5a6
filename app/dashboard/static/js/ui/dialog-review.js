import { html, useEffect, useRef } from "./preact.js";
import { useWarning } from "./dialog-field.js";

/**
 * What is about to be done and cannot be taken back, in one sentence. The focus is on the sentence: Enter, pressed once too
 * often in the form before, does nothing here.
 */
export function Review({ text, recipient, warn }) {
  const place = useRef(null);
  const warning = useWarning(warn, recipient);
  useEffect(() => place.current.focus(), []);
  return html`<div class="review" ref=${place} tabindex="-1">
    <p>${text} <code class="recipient">${recipient}</code></p>
    <p><strong>This cannot be taken back.</strong></p>
    ${warning && html`<p class="warning">${warning}</p>`}
  </div>`;
}

/** The second click of a double click does not reach the button that has taken the place of the first. */
export const ignoreDoubleClick = (event) => event.detail > 1 && event.preventDefault();
