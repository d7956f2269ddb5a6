import { amountFault, withCurrency } from "../money.js";
import { faults } from "./checks.js";

export function deposit({ dashboard, currency }) {
  return {
    title: "Deposit to the bounty pool",
    submit: "Deposit",
    fields: [
      { name: "amount", label: `Amount in ${currency}`, inputmode: "decimal", required: true, placeholder: "1000.00" },
      { name: "reference", label: "Reference", hint: "Optional. Shown in the ledger." },
    ],
    check: ({ amount }) => faults({ amount: amountFault(amount) }),
    path: `/protocols/${encodeURIComponent(dashboard.room.protocolId)}/deposits`,
    done: ({ entry }) => `Deposited ${withCurrency(entry.amount, currency)}.`,
  };
}
