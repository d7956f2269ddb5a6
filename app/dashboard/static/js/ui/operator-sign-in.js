import { html, useState } from "./preact.js";

const NEEDED = "admin";

/** The sign-in form for users without an admin token: states what the page requires and how to get it. */
export function OperatorSignIn({ session, refusal, onSignedIn }) {
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState(null);
  const shown = problem ?? refusal?.fault;
  const submit = (event) => {
    event.preventDefault();
    if (session.signIn(token.trim())) onSignedIn();
    else setProblem("This is no token: it has three parts with dots between them.");
  };
  const asDemo = () => {
    session.chooseRole(NEEDED);
    onSignedIn();
  };
  return html`<main class="sign-in" id="main">
    <form onSubmit=${submit}>
      <img src="/static/mark.svg" alt="" width="40" height="40" />
      <h1>Operations</h1>
      <p class="soft">How the system is: rooms, queues, backlogs and processes.</p>
      ${refusal?.role && html`<p data-refused=${refusal.role}>You are signed in as <strong>${refusal.role}</strong>; this page is for the role <strong>${NEEDED}</strong> alone.</p>`}
      <div class="field">
        <label for="token">Access token of an ${NEEDED}</label>
        <input id="token" type="password" autocomplete="off" spellcheck="false" value=${token} required onInput=${(event) => setToken(event.target.value)} aria-describedby="token-hint" />
        <small id="token-hint">Where the system runs: <code>dashboard token --role admin --protocol '*'</code>. It is kept in this browser, for all tabs, until you sign out.</small>
      </div>
      ${shown && html`<p class="fault" role="alert">${shown}</p>`}
      <div class="dialog-buttons">
        <a class="button" href="/">Dashboard</a>
        ${session.demo?.roles[NEEDED] && html`<button type="button" onClick=${asDemo}>As the demo's ${NEEDED}</button>`}
        <button type="submit" class="primary">Sign in</button>
      </div>
    </form>
  </main>`;
}
