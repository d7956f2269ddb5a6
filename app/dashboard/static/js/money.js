/**
 * Amounts are decimal strings and whole minor units (BigInt, 10⁻⁶), and floats only for drawing. Numbers are shown, and
 * amounts may be typed, as in the reader's locale.
 */

const SCALE = 6;
const AMOUNT = /^(0|[1-9]\d{0,11})(?:\.(\d{1,6}))?$/;

const numbers = new Intl.NumberFormat();
const measured = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const SAMPLE = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1 }).formatToParts(1234567.5);
const partOf = (type) => SAMPLE.find((part) => part.type === type)?.value ?? "";
const [DECIMAL, GROUP] = [partOf("decimal"), partOf("group")];
const DIGITS = [...new Intl.NumberFormat(undefined, { useGrouping: false }).format(9876543210)].reverse();

/** Minor units of `"1000.00"`, or null when it is not an amount. */
export function minorUnits(text) {
  const match = AMOUNT.exec(text ?? "");
  return match && BigInt(match[1]) * 10n ** BigInt(SCALE) + BigInt((match[2] ?? "").padEnd(SCALE, "0"));
}

/** `"2500.00"` from minor units, as the server writes it. */
export function fromMinorUnits(minor) {
  const digits = String(minor).padStart(SCALE + 1, "0");
  const decimals = digits.slice(-SCALE).replace(/0{1,4}$/, "");
  return `${digits.slice(0, -SCALE)}.${decimals}`;
}

/** `"1234567.50"` → `"1,234,567.50"` or as the reader writes it, exactly. */
export function grouped(text) {
  const [whole, decimals = ""] = String(text ?? "0").split(".");
  return numbers.format(BigInt(whole)) + (decimals && DECIMAL + decimals.replace(/\d/g, (digit) => DIGITS[digit]));
}

/** `"1,234.50 USDC"` */
export const withCurrency = (text, currency) => `${grouped(text)} ${currency ?? ""}`.trim();

/** A measured value, with one decimal. */
export const rough = (value) => measured.format(value);

/** A count: a number, or its digits as text. */
export const whole = (number) => numbers.format(BigInt(number));

/** `"3 attempts"`, `"1 attempt"` */
export const counted = (number, noun, plural = `${noun}s`) => `${whole(number)} ${BigInt(number) === 1n ? noun : plural}`;

/** The ratio of `part` to `whole`, from 0 to 1; for drawing only. */
export function share(part, whole) {
  const all = minorUnits(whole);
  return all ? Number(((minorUnits(part) ?? 0n) * 10_000n) / all) / 10_000 : 0;
}

/** For drawing only. */
export const toPixelsNumber = (text) => Number(text);

/**
 * The amount that a user typed, as the API takes it: `"1000.00"`, or as it is shown to them (`"1,000.00"`). Null if it is
 * none, or can be read in two ways: where a point separates thousands, `"1.000"` may be a thousand or one.
 */
export function amountOf(text) {
  const plain = latin(text);
  const readings = new Set([plain, ungrouped(plain)].map(minorUnits).filter((minor) => minor !== null));
  return readings.size === 1 ? fromMinorUnits([...readings][0]) : null;
}

/** The text with Latin digits and plain blanks. */
const latin = (text) => [...text].map((char) => (DIGITS.includes(char) ? DIGITS.indexOf(char) : char)).join("").replace(/\s/g, " ");

/** A number as the reader's locale writes it, without its separators; null if it is none. */
function ungrouped(text) {
  const [leading, ...decimals] = text.split(DECIMAL);
  const digits = leading.replaceAll(latin(GROUP), "");
  if (!/^\d+$/.test(digits)) return null;
  const isAsShown = leading === digits || leading === latin(whole(digits));
  return isAsShown ? [digits, ...decimals].join(".") : null;
}

/** The error in an amount that a user typed, as text; null if it is valid. */
export function amountFault(text, max) {
  const amount = amountOf(text);
  const example = grouped("1250.00");
  if (amount === null) return `Write a plain number such as ${example}: digits, and at most 6 after the “${DECIMAL}”.`;
  const minor = minorUnits(amount);
  if (minor === 0n) return "It must be more than zero.";
  if (max && minor > minorUnits(max)) return `It may be ${grouped(max)} at most.`;
  return null;
}
