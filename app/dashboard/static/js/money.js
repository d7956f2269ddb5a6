/** Amounts are decimal strings and whole minor units (BigInt, 10⁻⁶), and floats only for drawing. */

const SCALE = 6;
const AMOUNT = /^(0|[1-9]\d{0,11})(?:\.(\d{1,6}))?$/;

/** Minor units of `"1000.00"`, or null when it is not an amount. */
export function minorUnits(text) {
  const match = AMOUNT.exec(text ?? "");
  return match && BigInt(match[1]) * 10n ** BigInt(SCALE) + BigInt((match[2] ?? "").padEnd(SCALE, "0"));
}

/** `"1234567.50"` → `"1,234,567.50"`, exactly. */
export function grouped(text) {
  const [whole, decimals = ""] = String(text ?? "0").split(".");
  return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (decimals && `.${decimals}`);
}

/** `"1,234.50 USDC"` */
export const withCurrency = (text, currency) => `${grouped(text)} ${currency ?? ""}`.trim();

/** The ratio of `part` to `whole`, from 0 to 1; for drawing only. */
export function share(part, whole) {
  const all = minorUnits(whole);
  return all ? Number(((minorUnits(part) ?? 0n) * 10_000n) / all) / 10_000 : 0;
}

/** For drawing only. */
export const toPixelsNumber = (text) => Number(text);

/** The error in an amount that a user typed, as text; null if it is valid. */
export function amountFault(text, max) {
  const minor = minorUnits(text);
  if (minor === null) return "Write a plain number such as 250.00: digits, and at most 6 after the point.";
  if (minor === 0n) return "It must be more than zero.";
  if (max && minor > minorUnits(max)) return `It may be ${grouped(max)} at most.`;
  return null;
}
