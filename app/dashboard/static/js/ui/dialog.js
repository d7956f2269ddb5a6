import { Drafts } from "../drafts.js";
import { amountOf } from "../money.js";
import { Field } from "./dialog-field.js";
import { Review, ignoreDoubleClick } from "./dialog-review.js";
import { html, useEffect, useMemo, useRef, useState } from "./preact.js";

const IDLE = { isBusy: false, isChecked: false, problem: null, failures: 0 };

/** Shows an action's form, sends it, and shows the result: in the dialog, or in a notice if it was closed meanwhile. */
export function ActionDialog({ action, onClose, onRenew }) {
  const dialog = useRef(null);
  const isSending = useRef(false);
  const drafts = useMemo(() => new Drafts(action.dashboard.session.subject), []);
  const draft = useMemo(() => drafts.read(action.path), []);
  const first = ({ name, value = "", readonly }) => [name, (!readonly && draft?.[name]) || value];
  const [values, setValues] = useState(Object.fromEntries(action.fields.map(first)));
  const [sent, setSent] = useState(IDLE);
  const [isReviewed, setReviewed] = useState(false);
  useEffect(() => dialog.current.showModal(), []);
  useEffect(() => focusFault(dialog.current), [sent.failures]);

  const typed = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value.trim()]));
  const plain = withPlainAmounts(action, typed);
  const mine = action.check(typed);
  const faults = { ...(sent.isChecked && mine), ...sent.problem?.fields };
  const overtaken = sent.problem && (action.overtaken[sent.problem.currentStatus] ?? action.overtaken[sent.problem.code]);
  const fail = (problem) => setSent(({ failures }) => ({ ...IDLE, isChecked: true, problem, failures: failures + 1 }));

  const submit = async (event) => {
    event.preventDefault();
    if (isSending.current || overtaken) return;
    if (Object.keys(mine).length) return setReviewed(false), fail(null);
    if (action.review && !isReviewed) return setReviewed(true);
    isSending.current = true;
    setSent({ ...sent, isBusy: true, problem: null });
    const problem = await perform(action, plain);
    isSending.current = false;
    if (problem) setReviewed(false);
    else drafts.drop(action.path);
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
      ${action.note && !isReviewed && html`<p class="soft note" dir="auto">${action.note}</p>`}
      ${!isReviewed &&
      action.fields.map(
        (field) =>
          html`<${Field} key=${field.name} field=${field} value=${values[field.name]} fault=${faults[field.name]} onInput=${change(field.name)} />`,
      )}
      ${draft && !isReviewed && html`<p class="hint">What you typed before is here again.</p>`}
      ${isReviewed && html`<${Review} ...${action.review(plain)} warn=${action.fields.find(({ warn }) => warn)?.warn} />`}
      ${sent.problem && html`<p class="fault" role="alert">${overtaken ?? sent.problem.message}</p>`}
      <div class="dialog-buttons">
        ${sent.problem?.status === 401 && html`<button key="renew" type="button" onClick=${onRenew}>Renew your sign-in</button>`}
        ${isReviewed && !sent.isBusy && html`<button key="back" type="button" onClick=${() => setReviewed(false)}>Back</button>`}
        <button key="close" type="button" onClick=${discard}>${overtaken ? "Close" : (action.dismiss ?? "Cancel")}</button>
        ${!overtaken &&
        html`<button key="submit" type="submit" class=${action.isDangerous ? "danger" : "primary"} disabled=${sent.isBusy} aria-busy=${String(sent.isBusy)} onClick=${ignoreDoubleClick}>
          ${sent.isBusy ? "Sending…" : action.review && !isReviewed ? "Review" : action.submit}
        </button>`}
      </div>
    </form>
  </dialog>`;
}

/** Amounts may be typed as the reader's locale writes them; the request has decimal strings. */
function withPlainAmounts({ fields }, typed) {
  const amounts = fields.filter(({ name, inputmode }) => inputmode === "decimal" && typed[name]);
  return { ...typed, ...Object.fromEntries(amounts.map(({ name }) => [name, amountOf(typed[name])])) };
}

/** Returns the Problem, or null on success. */
async function perform({ dashboard, body, path, method, done, afterwards }, typed) {
  const filled = body?.(typed) ?? Object.fromEntries(Object.entries(typed).filter(([, value]) => value));
  try {
    const answer = await (method === "DELETE" ? dashboard.api.delete(path) : dashboard.api.post(path, filled));
    dashboard.say(`${answer.isReplay ? "An earlier try had arrived; nothing was done twice. " : ""}${done(answer.body)}`);
    afterwards?.();
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
