import { html, useState } from "./preact.js";

const SHOWN_MS = 2000;

/** A button that copies a text, and says so. */
export function Copy({ text, label }) {
  const [outcome, setOutcome] = useState(null);
  const copy = async () => {
    const words = (await copied(text)) ? "Copied" : "Not allowed";
    setOutcome(words);
    setTimeout(() => setOutcome((now) => (now === words ? null : now)), SHOWN_MS);
  };
  return html`<button class="quiet copy" onClick=${copy}><span role="status">${outcome ?? label}</span></button>`;
}

/** `navigator.clipboard` is missing on insecure origins; a selected field works there. */
async function copied(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text).then(() => true, () => false);
  const field = document.createElement("textarea");
  const before = document.activeElement;
  field.value = text;
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  before?.focus();
  return isCopied;
}
