import { MAX_HISTORY } from "../../finding-detail.js";
import { minorUnits, withCurrency } from "../../money.js";
import { ago, fullTime } from "../../time.js";
import { CopyButton } from "../copyable.js";
import { html } from "../preact.js";
import { PANELS } from "./index.js";

const DECISIONS = { VULNERABILITY_CONFIRMED: "Confirmed by", VULNERABILITY_REJECTED: "Rejected by" };

/** Who, when and how much, and the finding's id and link to copy. */
export function Facts({ finding, history, dashboard, address }) {
  const { id, protocolId, bounty, reserved, agentId, createdAt } = finding;
  const { currency } = dashboard.state.pool;
  const filing = history.find(({ action }) => action === "VULNERABILITY_FILED");
  const decision = history.find(({ action }) => action in DECISIONS);
  const link = new URL(`/?${new URLSearchParams({ protocol: protocolId, finding: id })}`, location.href).href;
  const isReserved = Boolean(minorUnits(reserved));
  return html`<dl class="facts">
    <${Fact} label="Bounty">${bounty ? withCurrency(bounty, currency) : "none"}${isReserved && html` <span class="soft">${withCurrency(reserved, currency)} reserved</span>`}<//>
    <${Fact} label="Filed"><time datetime=${createdAt}>${fullTime(createdAt)}</time> <span class="soft">${ago(createdAt, dashboard.now)}</span><//>
    ${agentId && html`<${Fact} label="Found by"><${AgentLink} ...${{ agentId, dashboard, address }} /><//>`}
    ${filing && html`<${Fact} label="Filed by"><span dir="auto">${filing.subject}</span><//>`}
    ${decision && html`<${Fact} label=${DECISIONS[decision.action]}><span dir="auto">${decision.subject}</span> <span class="soft">${ago(decision.at, dashboard.now)}</span><//>`}
    <${Fact} label="Id"><code>${id}</code> <${CopyButton} text=${id} label="of the finding" words="Copy id" /> <${CopyButton} text=${link} label="to the finding" words="Copy link" /><//>
  </dl>`;
}

export const Fact = ({ label, children }) => html`<div><dt>${label}</dt><dd>${children}</dd></div>`;

function AgentLink({ agentId, dashboard, address }) {
  const name = dashboard.agentName(agentId);
  return PANELS.agent ? html`<a href=${address.href({ agent: agentId })} dir="auto">${name}</a>` : html`<span dir="auto">${name}</span>`;
}

/** What was done, oldest first; `isRead`: whether nothing means nothing. */
export function History({ history, isRead, currency }) {
  return html`<section aria-labelledby="panel-history">
    <h3 id="panel-history">History</h3>
    ${history.length === 0 && html`<p class="soft">${isRead ? "Nothing is recorded." : "Reading…"}</p>`}
    <ol class="history">
      ${history.map(
        (entry, index) => html`<li key=${index} data-action=${entry.action}>
          <time datetime=${entry.at} class="soft">${fullTime(entry.at)}</time>
          <p><strong dir="auto">${entry.subject}</strong> ${wordsOf({ ...entry, currency })}</p>
          ${entry.reason && html`<p class="soft outside-text" dir="auto">${entry.reason}</p>`}
        </li>`,
      )}
    </ol>
    ${history.length >= MAX_HISTORY && html`<p class="soft">Only the first ${MAX_HISTORY} entries are shown.</p>`}
  </section>`;
}

const WORDS = {
  VULNERABILITY_FILED: ({ bounty, currency }) => `filed it${bounty ? ` with a bounty of ${withCurrency(bounty, currency)}` : ""}`,
  VULNERABILITY_CONFIRMED: () => "confirmed it",
  VULNERABILITY_REJECTED: () => "rejected it",
  PAYMENT_REQUESTED: (entry) => `requested the payment${sumOf(entry)}`,
  PAYMENT_RETRIED: (entry) => `retried the payment${sumOf(entry)}`,
  PAYMENT_RELEASED: ({ reference }) => `recorded the payment as paid${reference ? `, reference ${reference}` : ""}`,
  PAYMENT_FAILED: ({ attempts }) => `recorded that the payment failed${attempts ? ` at attempt ${attempts}` : ""}`,
  PAYMENT_CANCELLED: () => "cancelled the payment",
};

const wordsOf = (entry) => WORDS[entry.action]?.(entry) ?? entry.action.toLowerCase().replaceAll("_", " ");
const sumOf = ({ amount, currency, recipient }) => (amount ? ` of ${withCurrency(amount, currency)}` : "") + (recipient ? ` to ${recipient}` : "");
