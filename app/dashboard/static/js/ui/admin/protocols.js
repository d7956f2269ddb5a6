import { tokenCommand } from "../../shell-commands.js";
import { Copyable } from "../copyable.js";
import { Moment } from "../moment.js";
import { html, useState } from "../preact.js";
import { Form } from "../form.js";

export const ID = { pattern: /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/, fault: "Begin with a letter or digit, then up to 63 letters, digits or . _ : -" };
export const idFault = ({ id }) => (id && !ID.pattern.test(id) ? { id: ID.fault } : {});

const FIELDS = [
  { name: "name", label: "Name", required: true, maxlength: 200 },
  { name: "id", label: "Id", maxlength: 64, hint: "Optional: it stands in addresses and commands. Without one, the server makes one." },
  { name: "currency", label: "Currency", value: "USDC", required: true, maxlength: 12 },
];

export function ProtocolsSection({ dashboard, address }) {
  const [made, setMade] = useState(null);
  const create = async ({ name, id, currency }) => {
    const { body } = await dashboard.api.post("/protocols", { name, currency, ...(id && { id }) });
    setMade(body);
    dashboard.listing.load();
  };
  return html`
    <section class="panel" aria-labelledby="new-protocol-title">
      <header class="panel-head"><h2 id="new-protocol-title">Create a protocol</h2></header>
      <${Form} id="new-protocol" submit="Create protocol" fields=${FIELDS} check=${idFault} send=${create} />
      ${made && html`<${Made} protocol=${made} address=${address} />`}
    </section>
    <section class="panel" aria-labelledby="protocols-title">
      <header class="panel-head"><h2 id="protocols-title">Protocols</h2><span class="hint">${dashboard.protocols.length}</span></header>
      <${List} protocols=${dashboard.protocols} address=${address} />
    </section>
  `;
}

function Made({ protocol: { id, name }, address }) {
  return html`<div class="made" role="status">
    <p><strong dir="auto">${name}</strong> was created: <${Copyable} text=${id} label="the protocol's id" /></p>
    <p>Next: <a href=${address.href({ section: "agents" })}>create its agents</a>, <a href=${address.href({ section: "tokens" })}>issue its owner's token</a>, or <a href=${address.href({ protocol: id, view: "" })}>open it</a>.</p>
    <p class="soft">In a terminal, a token for its owner:</p>
    <${Copyable} text=${tokenCommand("owner", id)} label="the command" />
  </div>`;
}

function List({ protocols, address }) {
  if (protocols.length === 0) return html`<p class="none">There is none yet.</p>`;
  return html`<div class="admin-scroll" tabindex="0" role="group" aria-label="Protocols"><table class="admin-table">
    <thead><tr><th scope="col">Name</th><th scope="col">Id</th><th scope="col">Currency</th><th scope="col">Created</th></tr></thead>
    <tbody>
      ${protocols.map(({ id, name, currency, createdAt }) => html`<tr key=${id} data-row=${id}>
        <th scope="row"><a href=${address.href({ protocol: id, view: "" })} dir="auto">${name}</a></th>
        <td data-head="Id"><${Copyable} text=${id} label="the id of ${name}" /></td><td data-head="Currency">${currency}</td><td data-head="Created"><${Moment} at=${createdAt} /></td>
      </tr>`)}
    </tbody>
  </table></div>`;
}
