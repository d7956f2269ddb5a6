import { withCurrency } from "../../money.js";
import { fullTime } from "../../time.js";
import { html } from "../preact.js";
import { SidePanel } from "./host.js";

export function FindingPanel({ id, dashboard, state, address }) {
  const finding = dashboard.findings.byId.get(id) ?? state.open.get(id);
  if (!finding) {
    const text = dashboard.findings.isLoaded ? "There is no such finding in this protocol." : "Reading…";
    return html`<${SidePanel} title="Finding" address=${address}><p class="none">${text}</p><//>`;
  }
  const { title, severity, status, bounty, agentId, createdAt, description, rejectionReason } = finding;
  return html`<${SidePanel} title=${title} address=${address}>
    <p><span class="severity severity-${severity}">${severity.toLowerCase()}</span> <span class="state state-${status}">${status.toLowerCase()}</span></p>
    <dl class="numbers">
      <div><dt>Bounty</dt><dd>${bounty ? withCurrency(bounty, state.pool.currency) : "none"}</dd></div>
      <div><dt>Filed</dt><dd>${fullTime(createdAt)}</dd></div>
      ${agentId && html`<div><dt>Agent</dt><dd dir="auto">${dashboard.agentName(agentId)}</dd></div>`}
      <div><dt>Id</dt><dd><code>${id}</code></dd></div>
    </dl>
    ${rejectionReason && html`<p class="fault" dir="auto">${rejectionReason}</p>`}
    ${description && html`<p class="outside-text" dir="auto">${description}</p>`}
  <//>`;
}
