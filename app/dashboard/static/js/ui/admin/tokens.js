import { Moment } from "../moment.js";
import { html, useState } from "../preact.js";
import { Form } from "../form.js";
import { Table, usePagedList } from "../paged-table.js";
import { NewToken } from "./new-token.js";

const ROLES = [
  ["viewer", "Viewer: reads"],
  ["validator", "Validator: reads, confirms and rejects"],
  ["owner", "Owner: reads, deposits and pays"],
  ["agent", "Agent: reports and files, as itself"],
  ["admin", "Admin: everything, for all protocols"],
];
const DAY = 86_400;
const LIVES = [[3600, "1 hour"], [DAY, "1 day"], [7 * DAY, "7 days"], [30 * DAY, "30 days"], [90 * DAY, "90 days"], [365 * DAY, "1 year"]];
const MAX_SUBJECT = 128;

export function Tokens({ dashboard, actions, address }) {
  const { api } = dashboard;
  const [issued, setIssued] = useState(null);
  const { who } = address.values;
  const list = usePagedList(api, `/tokens${who ? `?sub=${encodeURIComponent(who)}` : ""}`);
  const revoked = usePagedList(api, "/tokens/revoked");
  const reload = () => [list, revoked].forEach((each) => each.load());
  const issue = async ({ role, protocols, sub, ttl }) => {
    const names = protocols.split(/[\s,]+/).filter(Boolean);
    const { body } = await api.post("/tokens", { sub, role, protocols: names, ttl: Number(ttl) });
    setIssued({ ...body, sub, role });
    list.load();
  };
  return html`
    <section class="panel" aria-labelledby="issue-title">
      <header class="panel-head"><h2 id="issue-title">Issue a token</h2></header>
      ${issued
        ? html`<${NewToken} issued=${issued} onDone=${() => setIssued(null)} />`
        : html`<${Form} id="issue" submit="Issue" fields=${fieldsOf(dashboard, address)} send=${issue} />`}
    </section>
    <section class="panel" aria-labelledby="issued-title">
      <header class="panel-head">
        <h2 id="issued-title">Issued tokens</h2>
        <input type="search" placeholder="Only those of…" aria-label="Only tokens of this name" value=${who} maxlength=${MAX_SUBJECT} onChange=${(event) => address.go({ who: event.target.value.trim() })} />
      </header>
      <${Table} list=${list} label="Issued tokens" columns=${columnsOf(dashboard.now, actions, reload)} keyOf=${({ jti }) => jti} empty=${who ? `No token was issued to ${who}.` : "None was issued here yet. Tokens made by “dashboard token” or by an identity provider are not listed."} />
    </section>
    <section class="panel" aria-labelledby="revoked-title">
      <header class="panel-head"><h2 id="revoked-title">Revoked</h2><button onClick=${() => actions.revokeOther(reload)}>Revoke others…</button></header>
      <${Table} list=${revoked} label="Revoked tokens" columns=${REVOKED} keyOf=${({ id }) => id} empty="None is revoked." />
    </section>
  `;
}

/** The bearer's name follows the role and the protocols, as with `dashboard token`; an agent's is its id. */
function fieldsOf({ protocols }, { values }) {
  const ids = protocols.map(({ id }) => id);
  const first = ids.includes(values.protocol) ? values.protocol : (ids[0] ?? "*");
  const nameOf = ({ role, protocols: named }) => (role === "agent" || named === "*" ? (role === "agent" ? "" : role) : `${role}@${named.replaceAll(/[\s,]+/g, ",")}`);
  return [
    { name: "role", label: "Role", options: ROLES, value: "viewer", isKept: true },
    { name: "protocols", label: "Protocols", value: first, isKept: true, suggestions: ["*", ...ids.slice(0, 200)], hint: "Ids with commas between them; * grants all, also later ones." },
    { name: "sub", label: "Name of the bearer", required: true, maxlength: MAX_SUBJECT, derive: nameOf, hint: "Shown beside everything that is done with it. For an agent: the agent's id." },
    { name: "ttl", label: "Valid for", options: LIVES.map(([seconds, text]) => [String(seconds), text]), value: String(DAY), isKept: true },
  ];
}

function columnsOf(now, actions, reload) {
  return [
    { head: "Bearer", cell: ({ sub }) => html`<span dir="auto">${sub}</span>` },
    { head: "Role", cell: ({ role }) => role },
    { head: "Protocols", cell: ({ protocols }) => protocols.join(", ") || "none" },
    { head: "Issued", cell: ({ issuedAt, issuedBy }) => html`<${Moment} at=${issuedAt} /> <span class="soft">by ${issuedBy}</span>` },
    { head: "Expires", cell: ({ expiresAt }) => html`<${Moment} at=${expiresAt} />` },
    { head: "Id", cell: ({ jti }) => html`<code>${jti}</code>` },
    { head: "State", cell: (token) => stateOf(token, now) ?? html`<button aria-label="Revoke the token of ${token.sub}" onClick=${() => actions.revokeToken(token, reload)}>Revoke</button>` },
  ];
}

/** Null while the token is valid. */
function stateOf({ revoked, expiresAt }, now) {
  if (revoked) return html`<span class="state state-FAILED">revoked</span>`;
  return Date.parse(expiresAt) <= now ? html`<span class="state">expired</span>` : null;
}

const REVOKED = [
  { head: "Token", cell: ({ jti, subject }) => (subject ? html`all of <span dir="auto">${subject}</span>` : html`<code>${jti}</code>`) },
  { head: "Reason", cell: ({ reason }) => html`<span class="outside-line" dir="auto">${reason}</span>` },
  { head: "Revoked", cell: ({ revokedAt, revokedBy }) => html`<${Moment} at=${revokedAt} /> <span class="soft">by ${revokedBy}</span>` },
];
