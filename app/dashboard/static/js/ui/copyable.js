import { html, useEffect, useRef, useState } from "./preact.js";

const SHOWN_MS = 2000;

/**
 * Copies `text`; `label` names it for screen readers, `words` stand on the button. Where the clipboard cannot be written,
 * the text beside it is selected.
 */
export function CopyButton({ text, label, words = "Copy" }) {
  const place = useRef(null);
  const [said, setSaid] = useState("");
  useEffect(() => {
    const timer = said && setTimeout(() => setSaid(""), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async () => {
    const isCopied = await copied(text);
    if (!isCopied) select(place.current.previousElementSibling);
    setSaid(isCopied ? "Copied" : "Selected: press Ctrl+C");
  };
  return html`<button type="button" class="copy" ref=${place} onClick=${copy} aria-label="${said || words} ${label}">
    <span aria-hidden="true">${said || words}</span><span class="visually-hidden" role="status">${said}</span>
  </button>`;
}

/** `navigator.clipboard` is missing on insecure origins; a selected field works there. */
async function copied(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text).then(() => true, () => false);
  const [field, before] = [document.createElement("textarea"), document.activeElement];
  field.value = text;
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  before?.focus();
  return isCopied;
}

function select(element) {
  if (element?.select) element.select();
  else if (element) getSelection().selectAllChildren(element);
}

/** A text to copy: an id, a command. */
export const Copyable = ({ text, label }) => html`<span class="copyable"><code>${text}</code><${CopyButton} text=${text} label=${label} /></span>`;
