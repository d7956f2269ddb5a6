import { AgentsSection } from "../admin/agents.js";
import { Audit } from "../admin/audit.js";
import { ProtocolsSection } from "../admin/protocols.js";
import { Tokens } from "../admin/tokens.js";
import { html } from "../preact.js";

const SECTIONS = {
  tokens: ["Tokens", Tokens],
  protocols: ["Protocols", ProtocolsSection],
  agents: ["Agents", AgentsSection],
  audit: ["Audit log", Audit],
};

/** What only admins do; needs no protocol, since the first one is created here. */
export function Admin({ dashboard, actions, address }) {
  const { section } = address.values;
  const [, Section] = SECTIONS[section];
  return html`<div class="admin">
    <nav class="segments" aria-label="Administration">
      ${Object.entries(SECTIONS).map(([id, [label]]) => html`<a key=${id} href=${address.href({ section: id, who: "", action: "", about: "" })} aria-current=${id === section ? "page" : undefined}>${label}</a>`)}
    </nav>
    <${Section} key=${section} ...${{ dashboard, actions, address }} />
  </div>`;
}
