import { html, useEffect, useRef, useState } from "./preact.js";

/** The sign-in form, shown without a demo or when a demo visitor wants to use a token. */
export function SignIn({ session, fault, onSignedIn }) {
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState(fault);
  const field = useRef(null);
  useEffect(() => field.current.focus(), []);
  const submit = (event) => {
    event.preventDefault();
    if (session.signIn(token.trim())) return onSignedIn();
    setProblem("This is no token: it has three parts with dots between them.");
    field.current.focus();
  };
  const asViewer = () => {
    session.chooseRole("viewer");
    onSignedIn();
  };
  return html`<main class="sign-in" id="main">
    <form onSubmit=${submit}>
      <img src="/static/mark.svg" alt="" width="40" height="40" />
      <h1>Dashboard Realtime</h1>
      <p class="soft">Agents, bounty pool and vulnerabilities of a protocol, as they change.</p>
      <div class="field">
        <label for="token">Access token</label>
        <input id="token" ref=${field} type="password" autocomplete="off" spellcheck="false" value=${token} required onInput=${(event) => setToken(event.target.value)} aria-describedby="token-hint" aria-invalid=${String(Boolean(problem))} />
        <small id="token-hint">From your operator: <code>dashboard token --role viewer --protocol P1</code>. It is kept in this browser, for all tabs, until you sign out.</small>
      </div>
      ${problem && html`<p class="fault" role="alert">${problem}</p>`}
      <div class="dialog-buttons">
        ${session.demo && html`<button type="button" onClick=${asViewer}>Look at the demo</button>`}
        <button type="submit" class="primary">Sign in</button>
      </div>
    </form>
  </main>`;
}
