import { html, useEffect, useRef, useState } from "./preact.js";

/** What a request without an answer means here: these requests are not known to the server by a key. */
const UNANSWERED = "No answer came: look at the list below whether it was done before you send it again.";

/**
 * A form that sends one request.
 *
 * @param {object[]} fields `name`, `label`, `value`, and optionally `hint`, `options` (`[value, label]`, of which one is chosen),
 *   `choices` (the same, of which several are: the value has commas between them), `suggestions`,
 *   `required` and attributes of the input
 * @param {(values: object) => Promise<void>} send throws a Problem (see api.js)
 */
export function Form({ id, fields, submit, send, check = () => ({}), children }) {
  const place = useRef(null);
  const isSending = useRef(false);
  const [values, setValues] = useState(Object.fromEntries(fields.map(({ name, value = "" }) => [name, value])));
  const [sent, setSent] = useState({ isBusy: false, faults: {}, message: "", failures: 0 });
  useEffect(() => place.current.querySelector("[aria-invalid=true]")?.focus(), [sent.failures]);
  const shown = Object.fromEntries(fields.map(({ name, derive }) => [name, values[name] || derive?.(values) || ""]));

  const fail = (faults, message) => setSent(({ failures }) => ({ isBusy: false, faults, message, failures: failures + 1 }));
  const onSubmit = async (event) => {
    event.preventDefault();
    if (isSending.current) return;
    const typed = Object.fromEntries(Object.entries(shown).map(([name, value]) => [name, value.trim()]));
    const missing = fields.filter(({ name, required }) => required && !typed[name]).map(({ name }) => [name, "Fill this in."]);
    const faults = { ...Object.fromEntries(missing), ...check(typed) };
    if (Object.keys(faults).length) return fail(faults, "");
    isSending.current = true;
    setSent({ ...sent, isBusy: true, faults: {}, message: "" });
    const problem = await send(typed).then(() => null, (error) => error);
    isSending.current = false;
    if (problem) return fail(problem.fields ?? {}, problem.status === 0 ? UNANSWERED : problem.message);
    setSent({ ...sent, isBusy: false, faults: {}, message: "" });
    setValues(Object.fromEntries(fields.map(({ name, value = "", isKept }) => [name, isKept ? values[name] : value])));
  };
  const change = (name) => ({ target: { value } }) => setValues((before) => ({ ...before, [name]: value }));

  return html`<form class="admin-form" id=${id} ref=${place} onSubmit=${onSubmit} novalidate>
    ${fields.map((field) => html`<${Field} key=${field.name} form=${id} ...${{ field, value: shown[field.name], fault: sent.faults[field.name], onInput: change(field.name) }} />`)}
    ${children}
    ${sent.message && html`<p class="fault" role="alert">${sent.message}</p>`}
    <button type="submit" class="primary" disabled=${sent.isBusy} aria-busy=${String(sent.isBusy)}>${sent.isBusy ? "Sending…" : submit}</button>
  </form>`;
}

function Field({ form, field, value, fault, onInput }) {
  const { name, label, hint, options, choices, suggestions, value: _, derive, isKept, ...attributes } = field;
  const id = `${form}-${name}`;
  if (choices) return html`<${Choices} ...${{ id, label, hint, choices, value, fault, onInput }} />`;
  const described = [hint && `${id}-hint`, fault && `${id}-fault`].filter(Boolean).join(" ") || undefined;
  const control = { id, name, value, ...attributes, onInput, "aria-invalid": String(Boolean(fault)), "aria-describedby": described };
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${options
      ? html`<select ...${control}>${options.map(([key, text]) => html`<option key=${key} value=${key} selected=${key === value}>${text}</option>`)}</select>`
      : html`<input type="text" autocomplete="off" spellcheck="false" list=${suggestions && `${id}-list`} ...${control} />`}
    ${suggestions && html`<datalist id="${id}-list">${suggestions.map((each) => html`<option key=${each} value=${each} />`)}</datalist>`}
    ${hint && html`<small id="${id}-hint">${hint}</small>`}
    ${fault && html`<small id="${id}-fault" class="fault">${[fault].flat().join(" ")}</small>`}
  </div>`;
}

function Choices({ id, label, hint, choices, value, fault, onInput }) {
  const chosen = new Set(value.split(",").filter(Boolean));
  const toggle = (key) => ({ target }) => {
    if (target.checked) chosen.add(key);
    else chosen.delete(key);
    onInput({ target: { value: choices.map(([each]) => each).filter((each) => chosen.has(each)).join() } });
  };
  return html`<fieldset class="choices" id=${id} aria-invalid=${String(Boolean(fault))}>
    <legend>${label}</legend>
    ${choices.map(([key, text]) => html`<label key=${key}><input type="checkbox" checked=${chosen.has(key)} onChange=${toggle(key)} /> ${text}</label>`)}
    ${hint && html`<small>${hint}</small>`}
    ${fault && html`<small class="fault">${fault}</small>`}
  </fieldset>`;
}
