import { counted, minorUnits } from "../../money.js";
import { depositCommand, tokenCommand } from "../../shell-commands.js";
import { Command } from "../command.js";
import { Empty, html } from "../preact.js";

/** In place of a list without rows: what it waits for, and the next step. */
export function NoRows({ records, isFiltered, noun, children }) {
  if (!records.isLoaded) return records.error ? null : html`<p class="none" role="status">Reading…</p>`;
  if (isFiltered) return html`<p class="none" role="status">No ${noun} matches.</p>`;
  return children;
}

/** Nothing was deposited yet. */
export function NoDeposit({ dashboard, actions }) {
  const { protocolId } = dashboard.room;
  const command = `TOKEN=$(${tokenCommand("owner", protocolId)})\n${depositCommand(protocolId)}`;
  return html`<${Empty} title="The pool is empty">
    Findings can only be rewarded from what the owner deposited: <button class="primary" onClick=${() => actions.deposit()}>Deposit</button> or, in a shell,
    <${Command} text=${command} label="Command that deposits" />
  <//>`;
}

/** Nothing was paid yet. */
export function NoPayment({ dashboard, state, actions, address }) {
  if (!minorUnits(state.pool?.total)) return html`<${NoDeposit} ...${{ dashboard, actions }} />`;
  const { CONFIRMED = 0, PENDING = 0 } = dashboard.findings.tally();
  const findings = (status) => address.href({ view: "", status, severity: "ALL", q: "" });
  if (CONFIRMED > 0) {
    return html`<${Empty} title="Nothing was paid yet"><a href=${findings("CONFIRMED")}>${counted(CONFIRMED, "confirmed finding")}</a> can be paid now.<//>`;
  }
  return html`<${Empty} title="Nothing was paid yet">
    A finding can be paid once a validator confirmed it. ${PENDING > 0 && html`<a href=${findings("PENDING")}>${counted(PENDING, "finding")}</a> wait for that.`}
  <//>`;
}
