import { withCurrency } from "../../money.js";
import { html, useEffect, useLayoutEffect, useState } from "../preact.js";
import { useSteadyOrder } from "../steady.js";
import { useWindowed } from "../windowed.js";

const GAP = 0.9; // in rem, as in the style sheet
const DIGIT = 0.6;
const MIN_AMOUNT = 8;
const MIN_SUBJECT = 14;
const AHEAD_ROWS = 30;

/**
 * A live list of payments or ledger entries: a table where there is room, else cards.
 *
 * @param {object} properties `records` (money-records.js); `question`: its filters as text; `heads`: `[column, label]` of
 *   each cell; `sizes`: the widths of the columns in rem, "amount" for that of an amount, null for the rest; `heights` of a
 *   `row` and a `card` in rem; `longest`: the length of the longest amount; `Row`, with the properties `contentOf(item)`
 */
export function RecordTable({ label, records, question, heads, sizes, heights, longest, Row, contentOf }) {
  const { rows, place: list, news } = useSteadyOrder(records.items, {
    idOf: ({ id }) => id,
    question,
    latest: (id) => records.get(id),
    isHeldOnTouch: records.isLoaded,
  });
  const isPrinted = usePrinting();
  const isTableAt = (width) => width >= widthOf(sizes, longest);
  const { ref, width, ...view } = useWindowed({ count: rows.length, rowHeight: (each) => (isTableAt(each) ? heights.row : heights.card) });
  const [first, last] = isPrinted ? [0, rows.length] : [view.first, view.last];
  useEffect(() => void (last > rows.length - AHEAD_ROWS && records.more()), [last, rows.length, records]);
  const isTable = isTableAt(width);
  const style = { "--row": `${isTable ? heights.row : heights.card}rem`, "--columns": isTable ? columnsOf(sizes, longest) : "none" };
  const place = isPrinted ? {} : { paddingTop: `${view.before}px`, paddingBottom: `${view.after}px` };
  return html`<div class="records ${isTable ? "record-rows" : "record-cards"}" ref=${list} style=${style}>
    ${news}
    <div class="record-table" role="table" aria-label=${label} aria-rowcount=${rows.length + 1}>
      <div role="rowgroup" class=${isTable ? "record-head" : "visually-hidden"}><div role="row" class="record" aria-rowindex="1">
        ${heads.map(([column, text]) => html`<span key=${column} role="columnheader" class="cell-${column}">${text}</span>`)}
      </div></div>
      <div class="record-scroll" role="rowgroup" ref=${ref} tabindex="0" aria-label="Rows"><div role="presentation" style=${place}>
        ${rows.slice(first, last).map((item, index) => html`<${Row} key=${item.id} index=${first + index + 2} ...${contentOf(item)} />`)}
      </div></div>
    </div>
    ${records.isCut && html`<p class="none">Only the newest ones are shown here; the CSV holds all.</p>`}
  </div>`;
}

/** The length in characters of the longest amount, with currency. */
export function longestOf(items, currency = "") {
  const lengthOf = ({ amount, available = "" }) => Math.max(amount.length, available.length);
  const longest = items.reduce((most, item) => Math.max(most, lengthOf(item)), 0);
  return withCurrency("9".repeat(Math.max(1, longest)), currency).length;
}

const widthsOf = (sizes, longest) => sizes.map((size) => (size === "amount" ? Math.max(MIN_AMOUNT, longest * DIGIT) : size));

const widthOf = (sizes, longest) => widthsOf(sizes, longest).reduce((sum, size) => sum + (size ?? MIN_SUBJECT), GAP * (sizes.length - 1));

const columnsOf = (sizes, longest) => widthsOf(sizes, longest).map((size) => (size === null ? "minmax(0, 1fr)" : `${size}rem`)).join(" ");

/** Whether the page is being printed: then all rows are drawn. */
function usePrinting() {
  const [isPrinted, setPrinted] = useState(false);
  useLayoutEffect(() => {
    const query = matchMedia("print");
    const note = () => setPrinted(query.matches);
    query.addEventListener("change", note);
    return () => query.removeEventListener("change", note);
  }, []);
  return isPrinted;
}
