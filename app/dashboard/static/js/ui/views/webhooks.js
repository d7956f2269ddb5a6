import { Form } from "../form.js";
import { Table, usePagedList } from "../paged-table.js";
import { Moment } from "../moment.js";
import { html, useState } from "../preact.js";
import { ShownOnce } from "../shown-once.js";
import { Deliveries } from "../webhooks/deliveries.js";
import { useRefresh } from "../webhooks/refresh.js";

const EVENTS = [
  ["vuln:discovered", "Findings filed"],
  ["vuln:status_changed", "Findings decided or paid"],
  ["payment:status_changed", "Payments"],
  ["bounty_pool:updated", "The pool's changes"],
  ["agent:task_update", "Tasks ended"],
];
const SEVERITIES = ["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"].map((each) => [each, each.toLowerCase()]);
const MAX_URL = 2048;
const FIELDS = [
  { name: "url", label: "URL", required: true, maxlength: MAX_URL, inputmode: "url", placeholder: "https://", hint: "Each event is POSTed there, signed." },
  { name: "description", label: "What it is for", maxlength: 200, hint: "Optional." },
  { name: "eventTypes", label: "Events", choices: EVENTS, value: EVENTS.map(([type]) => type).join(), required: true },
  { name: "severities", label: "Findings of these severities only", choices: SEVERITIES, hint: "None chosen: all." },
];

/** The owner's webhooks of a protocol, and the deliveries of one of them. */
export function Webhooks({ dashboard, actions, address }) {
  const { api, room } = dashboard;
  const [shown, setShown] = useState(null);
  const list = usePagedList(api, `/protocols/${room.protocolId}/webhooks`);
  useRefresh(list);
  const create = async ({ url, description, eventTypes, severities }) => {
    const isAll = eventTypes.split(",").length === EVENTS.length;
    const filters = { eventTypes: isAll ? ["*"] : eventTypes.split(","), severities: severities ? severities.split(",") : null };
    const { body } = await api.post(`/protocols/${room.protocolId}/webhooks`, { url, description: description || null, ...filters });
    setShown(body);
    list.load();
  };
  const opened = list.items.find(({ id }) => id === address.values.webhook);
  const shared = { dashboard, actions, address, list, onSecret: setShown };
  return html`<div class="admin">
    <section class="panel" aria-labelledby="new-webhook-title">
      <header class="panel-head"><h2 id="new-webhook-title">Create a webhook</h2></header>
      ${shown ? html`<${Secret} webhook=${shown} onDone=${() => setShown(null)} />` : html`<${Form} id="new-webhook" submit="Create webhook" fields=${FIELDS} send=${create} />`}
    </section>
    <section class="panel" aria-labelledby="webhooks-title">
      <header class="panel-head"><h2 id="webhooks-title">Webhooks</h2></header>
      <${Table} list=${list} label="Webhooks" columns=${columnsOf(shared)} keyOf=${({ id }) => id} empty="There is none: a webhook tells your own systems, or a chat, of what happens here." />
    </section>
    ${opened && html`<${Deliveries} key=${opened.id} webhook=${opened} ...${{ dashboard, address }} />`}
  </div>`;
}

function Secret({ webhook: { url, secret }, onDone }) {
  const warning = "Copy it into your receiver: with it you verify that a delivery comes from here (Standard Webhooks).";
  return html`<${ShownOnce} id="new-secret" title="The secret of ${url}" secret=${secret} label="Secret" ...${{ warning, onDone }} />`;
}

function columnsOf({ dashboard, actions, address, list, onSecret }) {
  const reload = () => list.load();
  return [
    { head: "URL", cell: ({ id, url, description }) => html`<a href=${address.href({ webhook: id, deliveries: "ALL" })}>${url}</a>${description && html`<br /><span class="soft" dir="auto">${description}</span>`}` },
    { head: "Events", cell: ({ eventTypes, severities }) => `${eventTypes.includes("*") ? "all" : eventTypes.map(labelOf).join(", ")}${severities ? ` (${severities.join(", ").toLowerCase()})` : ""}` },
    { head: "State", cell: (webhook) => html`<${State} webhook=${webhook} />` },
    { head: "Created", cell: ({ createdAt }) => html`<${Moment} at=${createdAt} />` },
    { head: "Actions", cell: (webhook) => html`<${Buttons} ...${{ webhook, dashboard, actions, reload, onSecret }} />` },
  ];
}

const labelOf = (type) => (EVENTS.find(([each]) => each === type)?.[1] ?? type).toLowerCase();

function State({ webhook: { status, disabledReason, failingSince } }) {
  if (status === "DISABLED") return html`<span class="state state-FAILED">disabled</span> <span class="outside-line">${disabledReason}</span>`;
  if (failingSince) return html`<span class="state state-PENDING">failing</span> since <${Moment} at=${failingSince} />`;
  return html`<span class="state state-RELEASED">enabled</span>`;
}

function Buttons({ webhook, dashboard, actions, reload, onSecret }) {
  const { id, url, status } = webhook;
  const run = (action, done) => () =>
    dashboard.api.post(`/webhooks/${id}/${action}`, {}).then(() => dashboard.say(done), ({ message }) => dashboard.say(message, "bad")).then(reload);
  const isEnabled = status === "ENABLED";
  return html`<span class="row-buttons">
    ${isEnabled && html`<button aria-label="Test ${url}" onClick=${run("test", "A test is on its way: see its delivery below.")}>Test</button>`}
    ${isEnabled
      ? html`<button aria-label="Disable ${url}" onClick=${run("disable", "Disabled: what happens meanwhile is not delivered later.")}>Disable</button>`
      : html`<button aria-label="Enable ${url}" onClick=${run("enable", "Enabled.")}>Enable</button>`}
    <button aria-label="New secret of ${url}" onClick=${() => actions.rotateSecret(webhook, onSecret)}>New secret</button>
    <button aria-label="Delete ${url}" onClick=${() => actions.deleteWebhook(webhook, reload)}>Delete</button>
  </span>`;
}
