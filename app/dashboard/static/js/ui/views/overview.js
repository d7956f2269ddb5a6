import { Agents } from "../agents.js";
import { FeedPanel } from "../feed.js";
import { FindingsPanel } from "../findings.js";
import { NextStep } from "../next-step.js";
import { Payments } from "../payments.js";
import { PoolPanel } from "../pool.js";
import { html } from "../preact.js";

/** Everything of one protocol at a glance, live. */
export function Overview({ dashboard, state, actions, address }) {
  const { session, findings, ledger, otherPayments, now } = dashboard;
  const { agents, agentsTruncated, open, payments, pool } = state;
  const agentName = (id) => dashboard.agentName(id);
  const step = (about, title) => html`<${NextStep} ...${{ about, title, dashboard, actions, address }} />`;
  return html`<div class="panels overview">
    <${PoolPanel} ...${{ pool, ledger, actions, session, address, now }} />
    <${FindingsPanel} ...${{ findings, open, payments, otherPayments, actions, address, session, now, agentName, currency: pool?.currency }} nextStep=${step("findings", findings.isLoaded ? "Nothing was filed yet" : "Reading the list…")} />
    <${Payments} ...${{ payments: [...payments.values()], dashboard, actions, address }} />
    <${Agents} agents=${[...agents.values()]} isTruncated=${agentsTruncated} now=${now} address=${address} nextStep=${step("agents", "No agent has reported yet")} />
    <${FeedPanel} dashboard=${dashboard} address=${address} nextStep=${step("feed", "No events yet")} />
  </div>`;
}
