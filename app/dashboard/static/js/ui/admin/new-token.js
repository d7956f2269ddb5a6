import { fullTime } from "../../time.js";
import { CopyButton } from "../copyable.js";
import { html, useEffect, useRef } from "../preact.js";

/** A token right after it was issued: the only moment at which anybody sees it. It is held in no storage. */
export function NewToken({ issued, onDone }) {
  const { token, jti, expiresAt, sub, role } = issued;
  const place = useRef(null);
  useEffect(() => place.current.focus(), [jti]);
  return html`<section class="new-token" aria-labelledby="new-token-title">
    <h3 id="new-token-title">The token of ${sub} (${role})</h3>
    <p class="warning"><strong>It is shown this once.</strong> Copy it now: it is stored nowhere, and cannot be shown again. Whoever has it acts as ${sub} until ${fullTime(expiresAt)}.</p>
    <p class="copyable">
      <input ref=${place} readonly value=${token} aria-label="Token" spellcheck="false" onFocus=${(event) => event.target.select()} />
      <${CopyButton} text=${token} label="the token" />
    </p>
    <p class="soft">Its id, by which it can be revoked: <code>${jti}</code></p>
    <button type="button" onClick=${onDone}>Done</button>
  </section>`;
}
