/** The layout of the vulnerabilities; sizes in rem, names as in the style sheet (`as-table`, `as-cards`). */

const TABLE_ROW = 3.2;
const CARD_ROW = { roomy: 6.6, tight: 8.9 };
const ROOMY_FROM = 34;
const COLUMNS = { severity: 5.4, status: 8.2, date: 5.4, actions: 10.5 };
const GAP = 0.9;
const MIN_TITLE = 18;
const DIGIT = 0.6; // width of a tabular digit, rounded up
const MIN_BOUNTY = 8;

/**
 * A table if titles keep a readable width beside all other columns, else cards.
 *
 * @param {number} width the available width
 * @param {{canAct: boolean, longest: number}} content whether there are buttons, and the length of the longest bounty
 */
export function layoutOf(width, { canAct, longest }) {
  const bounty = Math.max(MIN_BOUNTY, longest * DIGIT);
  const sizes = [COLUMNS.severity, null, bounty, COLUMNS.status, COLUMNS.date, canAct ? COLUMNS.actions : 0];
  const others = sizes.reduce((sum, size) => sum + (size ?? 0), 0) + GAP * (sizes.length - 1);
  if (width >= others + MIN_TITLE) {
    const columns = sizes.map((size) => (size === null ? "minmax(0, 1fr)" : `${size}rem`)).join(" ");
    return { isTable: true, name: "as-table", rowHeight: TABLE_ROW, columns };
  }
  const room = width >= ROOMY_FROM ? "roomy" : "tight";
  return { isTable: false, name: `as-cards is-${room}`, rowHeight: CARD_ROW[room] };
}
