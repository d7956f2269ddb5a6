import { Agents } from "../agents.js";
import { FeedPanel } from "../feed.js";
import { FindingsPanel } from "../findings.js";
import { Payments } from "../payments.js";
import { PoolPanel } from "../pool.js";
import { html } from "../preact.js";

/** Everything of one protocol at a glance, live. */
export function Overview({ dashboard, state, actions, address }) {
  const { session, findings, ledger, otherPayments, now } = dashboard;
  const { agents, agentsTruncated, open, payments, pool } = state;
  const agentName = (id) => dashboard.agentName(id);
  return html`<div class="panels overview">
    <${PoolPanel} ...${{ pool, points: ledger.points, fault: ledger.error, actions, session, now }} />
    <${FindingsPanel} ...${{ findings, open, payments, otherPayments, actions, address, session, now, agentName, currency: pool?.currency }} />
    <${Payments} ...${{ payments: [...payments.values()], dashboard, actions, address }} />
    <${Agents} agents=${[...agents.values()]} isTruncated=${agentsTruncated} now=${now} address=${address} />
    <${FeedPanel} dashboard=${dashboard} address=${address} />
  </div>`;
}
