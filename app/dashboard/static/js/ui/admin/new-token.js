import { fullTime } from "../../time.js";
import { html } from "../preact.js";
import { ShownOnce } from "../shown-once.js";

export function NewToken({ issued: { token, jti, expiresAt, sub, role }, onDone }) {
  const warning = `Copy it now: it is stored nowhere, and cannot be shown again. Whoever has it acts as ${sub} until ${fullTime(expiresAt)}.`;
  return html`<${ShownOnce} id="new-token" title="The token of ${sub} (${role})" secret=${token} label="Token" ...${{ warning, onDone }}>
    <p class="soft">Its id, by which it can be revoked: <code>${jti}</code></p>
  <//>`;
}
