import { html, useEffect, useRef, useState } from "./preact.js";

/** Asks, sends, and tells in words what the server says. */
export function ActionDialog({ action, onClose }) {
  const dialog = useRef(null);
  const initial = Object.fromEntries(action.fields.map(({ name, value = "" }) => [name, value]));
  const [values, setValues] = useState(initial);
  const [state, setState] = useState({ isBusy: false, faults: {}, problem: null });
  useEffect(() => dialog.current.showModal(), []);

  const submit = async (event) => {
    event.preventDefault();
    const typed = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value.trim()]));
    const faults = action.check(typed);
    if (state.isBusy) return;
    if (Object.keys(faults).length) return void setState({ isBusy: false, faults, problem: null });
    setState({ isBusy: true, faults: {}, problem: null });
    try {
      const answer = await send(action, typed);
      action.dashboard.say(`${answer.isReplay ? "An earlier try had arrived; nothing was done twice. " : ""}${action.done(answer.body)}`);
      action.dashboard.refresh();
      onClose();
    } catch (problem) {
      setState({ isBusy: false, faults: problem.fields ?? {}, problem });
    }
  };

  return html`<dialog ref=${dialog} class="dialog" aria-labelledby="dialog-title" onClose=${onClose}>
    <form onSubmit=${submit} novalidate>
      <h2 id="dialog-title">${action.title}</h2>
      ${action.about && html`<${About} finding=${action.about} />`}
      ${action.note && html`<p class="soft">${action.note}</p>`}
      ${action.fields.map(
        (field) =>
          html`<${Field} key=${field.name} field=${field} value=${values[field.name]} fault=${state.faults[field.name]}
            onInput=${(value) => setValues({ ...values, [field.name]: value })} />`,
      )}
      ${state.problem && html`<p class="fault" role="alert">${state.problem.message}</p>`}
      <div class="dialog-buttons">
        <button type="button" onClick=${() => dialog.current.close()}>Cancel</button>
        <button type="submit" class=${action.isDangerous ? "danger" : "primary"} disabled=${state.isBusy} aria-busy=${String(state.isBusy)}>
          ${state.isBusy ? "Sending…" : action.submit}
        </button>
      </div>
    </form>
  </dialog>`;
}

function send(action, typed) {
  const body = action.body?.(typed) ?? Object.fromEntries(Object.entries(typed).filter(([, value]) => value));
  return action.dashboard.api.post(action.path, body);
}

const About = ({ finding }) => html`<p class="dialog-about">
  <span class="severity severity-${finding.severity}">${finding.severity.toLowerCase()}</span> ${finding.title}
</p>`;

function Field({ field, value, fault, onInput }) {
  const { name, label, hint, multiline, required, value: _, ...attributes } = field;
  const described = [hint && `${name}-hint`, fault && `${name}-fault`].filter(Boolean).join(" ");
  const control = {
    id: `field-${name}`, name, value, required, autocomplete: "off", ...attributes,
    "aria-invalid": String(Boolean(fault)), "aria-describedby": described || undefined,
    onInput: (event) => onInput(event.target.value),
  };
  return html`<div class="field">
    <label for="field-${name}">${label}</label>
    ${multiline ? html`<textarea rows="3" ...${control}></textarea>` : html`<input type="text" ...${control} />`}
    ${hint && html`<small id="${name}-hint">${hint}</small>`}
    ${fault && html`<small id="${name}-fault" class="fault">${[fault].flat().join(" ")}</small>`}
  </div>`;
}
