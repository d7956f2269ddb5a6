/**
 * Warnings about recipients, by currency. The payout service decides which recipients are valid, so a warning never stops
 * anybody. Currencies that are not listed have no format that this page knows.
 */
const EVM_CURRENCIES = new Set(["ETH", "WETH", "USDC", "USDT", "DAI", "EURC", "LUSD", "FRAX", "MATIC", "POL", "ARB", "OP", "BNB", "AVAX"]);
const FORMATS = {
  BTC: [/^(bc1[02-9ac-hj-np-z]{11,87}|BC1[02-9AC-HJ-NP-Z]{11,87}|[13][1-9A-HJ-NP-Za-km-z]{25,34})$/, "a Bitcoin address (bc1…, 1… or 3…)"],
  SOL: [/^[1-9A-HJ-NP-Za-km-z]{32,44}$/, "a Solana address (32 to 44 letters and digits)"],
};
const EVM = /^0x([0-9a-f]{40})$/i;

/** What looks wrong about a recipient, as text; null if nothing does. May be a promise: the checksum's code is loaded late. */
export function recipientWarning(currency, recipient) {
  if (!recipient) return null;
  const [format, name] = FORMATS[currency] ?? [];
  if (format) return format.test(recipient) ? null : `This does not look like ${name}. Check that the payout service takes it.`;
  return EVM_CURRENCIES.has(currency) || /^0x/i.test(recipient) ? ethereumWarning(currency, recipient) : null;
}

function ethereumWarning(currency, recipient) {
  const digits = EVM.exec(recipient)?.[1];
  if (!digits) return `This is no Ethereum address: that is 0x and 40 digits or letters a to f${lengthWords(recipient)}. Check that the payout service takes it.`;
  if (/^0+$/.test(digits)) return "Nobody owns this address: what is paid to it is lost.";
  const hasChecksum = /[a-f]/.test(digits) && /[A-F]/.test(digits);
  return hasChecksum ? checksumWarning(digits) : "It has no checksum, being written in one letter case: compare each character.";
}

function lengthWords(recipient) {
  const digits = /^0x([0-9a-f]*)$/i.exec(recipient)?.[1];
  return digits === undefined ? "" : `, and here are ${digits.length}`;
}

async function checksumWarning(digits) {
  const module = await import("./keccak.js").catch(() => null);
  if (!module) return "Its checksum could not be verified: compare each character.";
  return module.checksummed(digits) === digits ? null : "Its checksum is wrong (EIP-55): at least one character is mistyped.";
}
