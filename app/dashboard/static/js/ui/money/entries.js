import { grouped } from "../../money.js";
import { Moment } from "../moment.js";
import { html, memo } from "../preact.js";
import { NoDeposit, NoRows } from "./empty.js";
import { RecordTable, longestOf } from "./table.js";

export const CHANGE_WORDS = { DEPOSIT: "deposit", RESERVATION: "reserved", RESERVATION_RELEASED: "given back", PAYMENT_RELEASED: "paid out" };

const HEADS = [["date", "When"], ["subject", "About"], ["status", "Change"], ["amount", "Amount"], ["after", "Available"], ["details", "Other totals after, and who"]];
const SIZES = [9, null, 7.5, "amount", "amount"];
const HEIGHTS = { row: 3.7, card: 8.4 };

export function EntryTable({ records, question, isFiltered, dashboard, actions, address }) {
  const { items } = records;
  if (items.length === 0) return html`<${NoRows} ...${{ records, isFiltered, noun: "entry" }}><${NoDeposit} ...${{ dashboard, actions }} /><//>`;
  const contentOf = (entry) => ({
    entry,
    title: entry.vulnerabilityId && (dashboard.findingTitle(entry.vulnerabilityId) ?? entry.vulnerabilityId),
    href: entry.vulnerabilityId && address.href({ finding: entry.vulnerabilityId }),
  });
  const longest = longestOf(items);
  return html`<${RecordTable} label="Ledger" heads=${HEADS} sizes=${SIZES} heights=${HEIGHTS} Row=${Row} ...${{ records, question, longest, contentOf }} />`;
}

const Row = memo(({ entry, index, title, href }) => {
  const { id, changeType, amount, available, reserved, paid, reference, actor, createdAt } = entry;
  const facts = [`reserved ${grouped(reserved)}`, `paid out ${grouped(paid)}`, `by ${actor}`, href && reference && `reference ${reference}`];
  const details = facts.filter(Boolean).join(" · ");
  return html`<div role="row" class="record change-${changeType}" aria-rowindex=${index} data-entry=${id}>
    <span role="cell" class="cell-date"><${Moment} at=${createdAt} /></span>
    <span role="cell" class="cell-subject">${href ? html`<a class="clip" href=${href} dir="auto">${title}</a>` : html`<span class="clip" dir="auto">${reference ?? "no reference"}</span>`}</span>
    <span role="cell" class="cell-status"><span class="state">${CHANGE_WORDS[changeType] ?? changeType}</span></span>
    <span role="cell" class="cell-amount">${grouped(amount)}</span>
    <span role="cell" class="cell-after">${grouped(available)}</span>
    <span role="cell" class="cell-details" title=${details}><span dir="auto">${details}</span></span>
  </div>`;
});
