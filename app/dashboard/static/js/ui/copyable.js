import { html, useEffect, useRef, useState } from "./preact.js";

const SHOWN_MS = 2000;

/** Copies `text`; `label` names it for screen readers. Where the clipboard is not available, the text beside it is selected. */
export function CopyButton({ text, label }) {
  const place = useRef(null);
  const [said, setSaid] = useState("");
  useEffect(() => {
    const timer = said && setTimeout(() => setSaid(""), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async () => {
    const isCopied = await navigator.clipboard?.writeText(text).then(() => true, () => false);
    if (!isCopied) select(place.current.previousElementSibling);
    setSaid(isCopied ? "Copied" : "Selected: press Ctrl+C");
  };
  return html`<button type="button" class="copy" ref=${place} onClick=${copy} aria-label="${said || "Copy"} ${label}">
    <span aria-hidden="true">${said || "Copy"}</span><span class="visually-hidden" role="status">${said}</span>
  </button>`;
}

function select(element) {
  if (element?.select) element.select();
  else if (element) getSelection().selectAllChildren(element);
}

/** A text to copy: an id, a command. */
export const Copyable = ({ text, label }) => html`<span class="copyable"><code>${text}</code><${CopyButton} text=${text} label=${label} /></span>`;
