import { Drafts } from "../drafts.js";
import { amountOf } from "../money.js";
import { html, useEffect, useMemo, useRef, useState } from "./preact.js";

const IDLE = { isBusy: false, isChecked: false, problem: null, failures: 0 };

/** Shows an action's form, sends it, and shows the result: in the dialog, or in a notice if it was closed meanwhile. */
export function ActionDialog({ action, onClose, onRenew }) {
  const dialog = useRef(null);
  const isSending = useRef(false);
  const drafts = useMemo(() => new Drafts(), []);
  const draft = useMemo(() => drafts.read(action.path), []);
  const [values, setValues] = useState(Object.fromEntries(action.fields.map(({ name, value = "" }) => [name, draft?.[name] ?? value])));
  const [sent, setSent] = useState(IDLE);
  useEffect(() => dialog.current.showModal(), []);
  useEffect(() => focusFault(dialog.current), [sent.failures]);

  const typed = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value.trim()]));
  const mine = action.check(typed);
  const faults = { ...(sent.isChecked && mine), ...sent.problem?.fields };
  const overtaken = sent.problem && (action.overtaken[sent.problem.currentStatus] ?? action.overtaken[sent.problem.code]);
  const fail = (problem) => setSent(({ failures }) => ({ ...IDLE, isChecked: true, problem, failures: failures + 1 }));

  const submit = async (event) => {
    event.preventDefault();
    if (isSending.current || overtaken) return;
    if (Object.keys(mine).length) return fail(null);
    isSending.current = true;
    setSent({ ...sent, isBusy: true, problem: null });
    const problem = await perform(action, withPlainAmounts(action, typed));
    isSending.current = false;
    if (!problem) drafts.drop(action.path);
    if (!problem) dialog.current?.close();
    else if (dialog.current) fail(problem);
    else action.dashboard.say(`${action.submit}: ${problem.message}`, "bad");
  };
  const change = (name) => (value) => {
    const changed = { ...values, [name]: value };
    setValues(changed);
    drafts.write(action.path, changed);
    setSent({ ...sent, problem: null });
  };

  const discard = () => {
    drafts.drop(action.path);
    dialog.current.close();
  };

  return html`<dialog ref=${dialog} class="dialog" aria-labelledby="dialog-title" onClose=${onClose}>
    <form onSubmit=${submit} novalidate>
      <h2 id="dialog-title">${action.title}</h2>
      ${action.about && html`<${About} finding=${action.about} />`}
      ${action.note && html`<p class="soft" dir="auto">${action.note}</p>`}
      ${action.fields.map(
        (field) =>
          html`<${Field} key=${field.name} field=${field} value=${values[field.name]} fault=${faults[field.name]} onInput=${change(field.name)} />`,
      )}
      ${draft && html`<p class="hint">What you typed before is here again.</p>`}
      ${sent.problem && html`<p class="fault" role="alert">${overtaken ?? sent.problem.message}</p>`}
      <div class="dialog-buttons">
        ${sent.problem?.status === 401 && html`<button type="button" onClick=${onRenew}>Renew your sign-in</button>`}
        <button type="button" onClick=${discard}>${overtaken ? "Close" : "Cancel"}</button>
        ${!overtaken &&
        html`<button type="submit" class=${action.isDangerous ? "danger" : "primary"} disabled=${sent.isBusy} aria-busy=${String(sent.isBusy)}>
          ${sent.isBusy ? "Sending…" : action.submit}
        </button>`}
      </div>
    </form>
  </dialog>`;
}

/** Amounts may be typed as the reader's locale writes them. */
function withPlainAmounts({ fields }, typed) {
  const amounts = fields.filter(({ name, inputmode }) => inputmode === "decimal" && typed[name]);
  return { ...typed, ...Object.fromEntries(amounts.map(({ name }) => [name, amountOf(typed[name])])) };
}

/** Returns the Problem, or null on success. */
async function perform({ dashboard, body, path, done }, typed) {
  const filled = body?.(typed) ?? Object.fromEntries(Object.entries(typed).filter(([, value]) => value));
  try {
    const answer = await dashboard.api.post(path, filled);
    dashboard.say(`${answer.isReplay ? "An earlier try had arrived; nothing was done twice. " : ""}${done(answer.body)}`);
    return null;
  } catch (problem) {
    return problem;
  } finally {
    dashboard.refresh();
  }
}

/** Focus the first invalid field, else a button: the pressed one lost the focus while it was disabled. */
function focusFault(dialog) {
  const faulty = dialog.querySelector("[aria-invalid=true]");
  if (faulty) faulty.focus();
  else if (!dialog.contains(document.activeElement)) dialog.querySelector(".dialog-buttons :last-child").focus();
}

const About = ({ finding }) => html`<p class="dialog-about">
  <span class="severity severity-${finding.severity}">${finding.severity.toLowerCase()}</span> <bdi>${finding.title}</bdi>
</p>`;

function Field({ field, value, fault, onInput }) {
  const { name, label, hint, multiline, required, value: _, ...attributes } = field;
  const hinted = typeof hint === "function" ? hint() : hint;
  const described = [hinted && `${name}-hint`, fault && `${name}-fault`].filter(Boolean).join(" ");
  const control = {
    id: `field-${name}`, name, value, required, autocomplete: "off", ...attributes,
    "aria-invalid": String(Boolean(fault)), "aria-describedby": described || undefined,
    onInput: (event) => onInput(event.target.value),
  };
  return html`<div class="field">
    <label for="field-${name}">${label}</label>
    ${multiline ? html`<textarea rows="3" ...${control}></textarea>` : html`<input type="text" ...${control} />`}
    ${hinted && html`<small id="${name}-hint">${hinted}</small>`}
    ${fault && html`<small id="${name}-fault" class="fault">${[fault].flat().join(" ")}</small>`}
  </div>`;
}
