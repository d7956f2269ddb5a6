import { amountFault, withCurrency } from "../money.js";
import { DECIDED, faults } from "./checks.js";

export function confirm({ currency, available, availableHint }, finding) {
  const hint = () => availableHint("Optional. ");
  return {
    title: "Confirm this vulnerability?",
    about: finding,
    submit: "Confirm",
    fields: finding.bounty ? [] : [{ name: "bounty", label: `Bounty in ${currency}`, inputmode: "decimal", hint }],
    note: finding.bounty && `Its bounty of ${withCurrency(finding.bounty, currency)} stays reserved until the owner pays.`,
    check: ({ bounty }) => faults({ bounty: bounty && amountFault(bounty, available()) }),
    path: `/vulnerabilities/${encodeURIComponent(finding.id)}/confirm`,
    done: () => `Confirmed: ${finding.title}.`,
    overtaken: DECIDED,
  };
}

export function reject({ currency }, finding) {
  return {
    title: "Reject this vulnerability?",
    about: finding,
    submit: "Reject",
    isDangerous: true,
    fields: [{ name: "reason", label: "Reason", multiline: true, required: true, hint: "The finder sees this." }],
    note: finding.bounty && `${withCurrency(finding.bounty, currency)} go back to what is available. This cannot be undone.`,
    check: ({ reason }) => faults({ reason: !reason && "Say why." }),
    path: `/vulnerabilities/${encodeURIComponent(finding.id)}/reject`,
    done: () => `Rejected: ${finding.title}.`,
    overtaken: DECIDED,
  };
}
