import { html, useEffect, useState } from "./preact.js";

/** A field of an action's form, with its hint, its fault, and a warning that stops nobody. */
export function Field({ field, value, fault, onInput }) {
  const { name, label, hint, multiline, required, value: _, isCode, warn, ...attributes } = field;
  const hinted = typeof hint === "function" ? hint() : hint;
  const warning = useWarning(warn, value.trim());
  const lines = { hint: hinted, warning, fault };
  const described = Object.keys(lines).filter((key) => lines[key]).map((key) => `${name}-${key}`).join(" ");
  const control = {
    id: `field-${name}`, name, value, required, autocomplete: "off", ...attributes,
    ...(isCode && { class: "code-field", spellcheck: false, autocapitalize: "off" }),
    "aria-invalid": String(Boolean(fault)), "aria-describedby": described || undefined,
    onInput: (event) => onInput(event.target.value),
  };
  return html`<div class="field">
    <label for="field-${name}">${label}</label>
    ${multiline || isCode ? html`<textarea rows=${isCode ? 2 : 3} ...${control} onKeyDown=${isCode && submitOnEnter}></textarea>` : html`<input type="text" ...${control} />`}
    ${hinted && html`<small id="${name}-hint">${hinted}</small>`}
    ${warning && html`<small id="${name}-warning" class="warning" role="status">${warning}</small>`}
    ${fault && html`<small id="${name}-fault" class="fault">${[fault].flat().join(" ")}</small>`}
  </div>`;
}

/** Addresses are longer than a line, and hold no line breaks. */
function submitOnEnter(event) {
  if (event.key !== "Enter" || event.isComposing) return;
  event.preventDefault();
  event.target.form.requestSubmit();
}

/** The text of `warn`, which may be a promise; late answers about an earlier value are ignored. */
export function useWarning(warn, value) {
  const [found, setFound] = useState({ value: null, text: null });
  useEffect(() => {
    let isCurrent = true;
    Promise.resolve(warn?.(value) ?? null).then((text) => isCurrent && setFound({ value, text }));
    return () => (isCurrent = false);
  }, [value]);
  return found.value === value ? found.text : null;
}
