import { actionsFor } from "./finding-actions.js";

const MAX_FINDINGS = 8;
const NEWEST = { by: "date", descending: true };

const administration = (label, section) => ({ label, roles: [], run: ({ address }) => address.go({ view: "admin", section }) });

/** The actions that need no finding, for the command palette: `needsPool`, the label, who may besides admins, and `run`. */
const GENERAL = [
  { label: "Deposit to the bounty pool", roles: ["owner"], needsPool: true, run: ({ actions }) => actions.deposit() },
  administration("Issue a token", "tokens"),
  administration("Revoke a token", "tokens"),
  administration("Create a protocol", "protocols"),
  administration("Create an agent", "agents"),
  administration("Read the audit log", "audit"),
];

/**
 * What the command palette offers: `{key, group, label, detail?, run()}`.
 *
 * @param {object} page `dashboard`, `actions`, `address`, and `views` as `[id, {label}]`
 * @param {{label: string, run: () => void}[]} more commands of the page itself
 */
export function commandsFor({ dashboard, actions, address, views }, text, more) {
  const all = [...aboutFinding(dashboard, actions, address), ...places(dashboard, address, views), ...general({ dashboard, actions, address }), ...more];
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const matching = all.filter(({ label, detail = "" }) => words.every((word) => `${label} ${detail}`.toLowerCase().includes(word)));
  return [...matching, ...found(dashboard, address, text.trim())].map((command, index) => ({ ...command, key: index }));
}

function aboutFinding(dashboard, actions, address) {
  const finding = dashboard.findings?.byId.get(address.values.finding);
  if (!finding) return [];
  const offered = actionsFor(finding, dashboard.paymentOf(finding), dashboard.session);
  return offered.map(({ label, about = label, run }) => ({ group: "This finding", label: about, detail: finding.title, run: () => run(actions) }));
}

function places(dashboard, address, views) {
  const toViews = views.map(([view, { label }]) => ({ group: "Go to", label, run: () => address.go({ view }) }));
  const others = dashboard.protocols.filter(({ id }) => id !== dashboard.room?.protocolId);
  return [...toViews, ...others.map(({ id, name }) => ({ group: "Protocols", label: name, detail: id, run: () => address.go({ protocol: id }) }))];
}

function general(page) {
  const { session, state } = page.dashboard;
  const offered = GENERAL.filter(({ roles, needsPool }) => session.may(...roles) && (state || !needsPool));
  return offered.map(({ label, run }) => ({ group: "Actions", label, run: () => run(page) }));
}

/** Findings by title, agent or id; an id that is not held can be opened too. */
function found({ findings }, address, text) {
  if (!text || !findings) return [];
  const rows = findings.rows({ status: "ALL", severity: "ALL", text, sort: NEWEST }).slice(0, MAX_FINDINGS);
  const open = ({ id, title, severity, status }) => ({ group: "Findings", label: title, detail: `${severity} ${status}`.toLowerCase(), run: () => address.go({ finding: id }) });
  const isId = /^[A-Za-z0-9][A-Za-z0-9._:-]{7,63}$/.test(text) && /\d/.test(text) && rows.length === 0;
  return isId ? [{ group: "Findings", label: `Open the finding ${text}`, run: () => address.go({ finding: text }) }] : rows.map(open);
}
