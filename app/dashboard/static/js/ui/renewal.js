import { span } from "../time.js";
import { html, useEffect, useRef, useState } from "./preact.js";

/** Says that the user's token expires soon, and offers to renew it. */
export function ExpiryWarning({ session, onRenew }) {
  const left = session.expiresIn;
  if (left === null || left === 0) return null;
  return html`<div class="banner status-reconnecting" role="alert">
    Your sign-in expires soon. <span class="soft" aria-hidden="true">in ${span(left)}</span>
    <button onClick=${onRenew}>Renew</button>
  </div>`;
}

/** Takes a new token of the same user without leaving the page. */
export function RenewalDialog({ dashboard, onClose }) {
  const dialog = useRef(null);
  const [token, setToken] = useState("");
  const [fault, setFault] = useState(null);
  useEffect(() => dialog.current.showModal(), []);
  const { session } = dashboard;
  const submit = (event) => {
    event.preventDefault();
    const found = session.renew(token.trim());
    setFault(found);
    if (found) return;
    dashboard.resume();
    dialog.current.close();
  };
  return html`<dialog ref=${dialog} class="dialog" aria-labelledby="renewal-title" onClose=${onClose}>
    <form onSubmit=${submit} novalidate>
      <h2 id="renewal-title">Renew your sign-in</h2>
      <p class="soft">Everything on the page stays as it is, and so does what you have typed.</p>
      <div class="field">
        <label for="new-token">A new token of ${session.subject}</label>
        <input id="new-token" type="password" autocomplete="off" spellcheck="false" value=${token} required onInput=${(event) => setToken(event.target.value)} aria-invalid=${String(Boolean(fault))} aria-describedby=${fault ? "new-token-fault" : undefined} />
        ${fault && html`<small id="new-token-fault" class="fault" role="alert">${fault}</small>`}
      </div>
      <div class="dialog-buttons">
        <button type="button" onClick=${() => dialog.current.close()}>Cancel</button>
        <button type="submit" class="primary">Renew</button>
      </div>
    </form>
  </dialog>`;
}
