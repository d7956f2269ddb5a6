import assert from "node:assert/strict";
import { test } from "node:test";

const { NumberFormat } = Intl;
const LARGEST = "999999999999.999999";

/** The module as a reader of this locale loads it. */
async function moneyIn(locale) {
  Intl.NumberFormat = function In(_, options) {
    return new NumberFormat(locale, options);
  };
  const module = await import(`../../../app/dashboard/static/js/money.js?${locale}`);
  Intl.NumberFormat = NumberFormat;
  return module;
}

const LOCALES = { "en-GB": "1,234,567.50", "de-DE": "1.234.567,50", "fr-FR": "1\u202f234\u202f567,50", "hi-IN": "12,34,567.50", "ar-EG": "١٬٢٣٤٬٥٦٧٫٥٠" };

test("amounts are written as in the reader's locale, exactly, and can be typed as they are shown", async () => {
  for (const [locale, shown] of Object.entries(LOCALES)) {
    const { amountOf, grouped } = await moneyIn(locale);
    assert.equal(grouped("1234567.50"), shown, locale);
    assert.equal(amountOf(shown), "1234567.50", locale);
    for (const amount of [LARGEST, "0.000001", "1000.00", "12.50", "0.123"]) assert.equal(amountOf(grouped(amount)), amount, `${locale} ${amount}`);
    assert.equal(amountOf("1000.50"), "1000.50", `${locale}: as the API writes it`);
  }
});

test("an amount that can be read in two ways, or in none, is refused", async () => {
  const english = await moneyIn("en-GB");
  assert.equal(english.amountOf("1,000"), "1000.00");
  for (const text of ["1,00", "1,0000", "1,000,00", "1.000.000", "1e3", "-5", " ", "", "1000000000000", "0.0000001"]) {
    assert.equal(english.amountOf(text), null, text);
    assert.match(english.amountFault(text), /1,250\.00/);
  }
  const german = await moneyIn("de-DE");
  assert.equal(german.amountOf("1.000"), null, "a thousand, or one?");
  assert.equal(german.amountOf("1000,5"), "1000.50");
  assert.equal(german.amountOf("1,000"), "1.00");
});

test("the largest allowed amount is compared exactly", async () => {
  const { amountFault, fromMinorUnits, minorUnits } = await moneyIn("en-GB");
  assert.equal(amountFault("1,000.000001", "1000.00"), "It may be 1,000.00 at most.");
  assert.equal(amountFault("1,000", "1000.00"), null);
  assert.equal(amountFault("0", null), "It must be more than zero.");
  for (const amount of [LARGEST, "0.00", "0.000001", "2500.00", "2500.123456", "2500.10", "2500.101"]) assert.equal(fromMinorUnits(minorUnits(amount)), amount);
});
