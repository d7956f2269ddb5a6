import { html } from "./preact.js";

export const COLUMNS = [
  ["severity", "Severity"],
  [null, "Finding"],
  ["bounty", "Bounty"],
  ["status", "Status"],
  ["date", "Filed"],
];
const ORDERS = [
  ["date", true, "Newest first"],
  ["date", false, "Oldest first"],
  ["severity", true, "Gravest first"],
  ["severity", false, "Mildest first"],
  ["bounty", true, "Highest bounty first"],
  ["bounty", false, "Lowest bounty first"],
  ["status", true, "Pending first"],
  ["status", false, "Rejected first"],
];

/** A column's heading; for a sortable column, a button that reverses the order. */
export function Head({ by, label, sort, setSort }) {
  if (!by) return html`<span role="columnheader" class="cell-title">${label}</span>`;
  const isSorted = sort.by === by;
  const direction = isSorted ? (sort.descending ? "descending" : "ascending") : "none";
  const reverse = () => setSort({ by, descending: isSorted ? !sort.descending : true });
  return html`<span role="columnheader" class="cell-${by}" aria-sort=${direction}>
    <button class="sort" onClick=${reverse}>${label}</button>
  </span>`;
}

/** The same orders as a list, for the layout without column headings. */
export function SortChoice({ sort, setSort }) {
  const key = (by, descending) => `${by} ${descending}`;
  const choose = (event) => {
    const [by, descending] = event.target.value.split(" ");
    setSort({ by, descending: descending === "true" });
  };
  return html`<label class="sort-choice">
    <span>Sort</span>
    <select value=${key(sort.by, sort.descending)} onChange=${choose}>
      ${ORDERS.map(
        ([by, descending, label]) =>
          html`<option key=${label} value=${key(by, descending)} selected=${key(by, descending) === key(sort.by, sort.descending)}>${label}</option>`,
      )}
    </select>
  </label>`;
}
