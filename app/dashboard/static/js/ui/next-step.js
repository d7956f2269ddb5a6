import { depositCommand, fileCommand, reportCommand, tokenCommand } from "../shell-commands.js";
import { Copyable } from "./copyable.js";
import { Empty, html } from "./preact.js";

/**
 * An empty list: what appears there, and what this reader can do for it, with a command that has the real ids.
 *
 * @param {{about: "findings" | "agents" | "feed"}} properties
 */
export function NextStep({ about, title, dashboard, address, actions }) {
  const { session, room } = dashboard;
  const role = Object.hasOwn(STEPS[about], session.role) ? session.role : "viewer";
  const { words, command, more } = STEPS[about][role]({ protocol: room.protocolId, me: session.subject, address, actions });
  return html`<${Empty} title=${title}>
    ${words}${more && html` ${more}`}
    ${command && html`<span class="next-command"><${Copyable} text=${command} label="the command" /></span>`}
  <//>`;
}

const adminLink = (address, section, text) => html`<a class="link" href=${address.href({ view: "admin", section })}>${text}</a>`;
const depositButton = (actions) => html`<button class="link" onClick=${() => actions.deposit()}>Deposit</button>`;

const STEPS = {
  findings: {
    viewer: () => ({ words: "What agents and validators file appears here by itself." }),
    agent: ({ protocol, me }) => ({ words: "File what you find:", command: fileCommand(protocol, me) }),
    validator: ({ protocol }) => ({ words: "What agents file appears here and waits for your decision. You may file a finding yourself:", command: fileCommand(protocol) }),
    owner: ({ actions }) => ({ words: "What agents file appears here; you pay what a validator has confirmed. Bounties are reserved from the pool:", more: depositButton(actions) }),
    admin: ({ protocol, address }) => ({ words: "What agents file appears here.", more: adminLink(address, "agents", "Create an agent"), command: fileCommand(protocol) }),
  },
  agents: {
    viewer: ({ protocol }) => ({ words: "An agent appears here with its first report. Its operator needs a token:", command: tokenCommand("agent", protocol, "AGENT_ID") }),
    agent: ({ protocol, me }) => ({ words: "You appear here with your first report:", command: reportCommand(me, protocol) }),
    admin: ({ protocol, address }) => ({ words: "An agent appears here with its first report.", more: adminLink(address, "agents", "Create an agent"), command: reportCommand("AGENT_ID", protocol) }),
  },
  feed: {
    viewer: () => ({ words: "Deposits, findings, decisions, payments and finished tasks appear here as they happen." }),
    agent: ({ protocol, me }) => ({ words: "A report of yours is an event:", command: reportCommand(me, protocol) }),
    owner: ({ actions }) => ({ words: "A deposit is the first event of most protocols.", more: depositButton(actions) }),
    admin: ({ protocol }) => ({ words: "Reports, findings and money appear here as they happen. The first deposit:", command: depositCommand(protocol) }),
  },
};
