/**
 * Keccak-256 as Ethereum uses it (the original padding, not SHA3's). Pure.
 *
 * Own code in place of @noble/hashes (its sha3 module is 3 kB more to transfer): one short text is hashed when a person has typed an
 * address.
 */
const LANE = (1n << 64n) - 1n;
const RATE = 136; // bytes
const ROUNDS = 24;

const rotated = (lane, by) => ((lane << BigInt(by)) | (lane >> BigInt(64 - by))) & LANE;
const at = (x, y) => (x % 5) + 5 * (y % 5);

/** The round constants, from the linear-feedback register of the specification. */
const CONSTANTS = (() => {
  let register = 1;
  return Array.from({ length: ROUNDS }, () => {
    let constant = 0n;
    for (let bit = 0; bit < 7; bit += 1) {
      if (register & 1) constant |= 1n << BigInt(2 ** bit - 1);
      register = register & 0x80 ? ((register << 1) ^ 0x171) & 0xff : register << 1;
    }
    return constant;
  });
})();

function permute(lanes) {
  for (const constant of CONSTANTS) {
    const columns = [0, 1, 2, 3, 4].map((x) => lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20]);
    for (let index = 0; index < 25; index += 1) lanes[index] ^= columns[(index + 4) % 5] ^ rotated(columns[(index + 1) % 5], 1);
    for (let [x, y, moved, step] = [1, 0, lanes[1], 1]; step <= ROUNDS; step += 1) {
      [x, y] = [y, (2 * x + 3 * y) % 5];
      [moved, lanes[at(x, y)]] = [lanes[at(x, y)], rotated(moved, ((step * (step + 1)) / 2) % 64)];
    }
    for (let y = 0; y < 25; y += 5) {
      const row = lanes.slice(y, y + 5);
      for (let x = 0; x < 5; x += 1) lanes[y + x] = row[x] ^ (~row[(x + 1) % 5] & LANE & row[(x + 2) % 5]);
    }
    lanes[0] ^= constant;
  }
}

/** The hash of some bytes as 64 hexadecimal digits. */
export function keccak256(bytes) {
  const padded = new Uint8Array((Math.floor(bytes.length / RATE) + 1) * RATE);
  padded.set(bytes);
  padded[bytes.length] ^= 0x01;
  padded[padded.length - 1] ^= 0x80;
  const view = new DataView(padded.buffer);
  const lanes = Array(25).fill(0n);
  for (let from = 0; from < padded.length; from += RATE) {
    for (let lane = 0; lane < RATE / 8; lane += 1) lanes[lane] ^= view.getBigUint64(from + 8 * lane, true);
    permute(lanes);
  }
  const digits = (lane) => Array.from({ length: 8 }, (_, byte) => Number((lane >> BigInt(8 * byte)) & 0xffn).toString(16).padStart(2, "0")).join("");
  return lanes.slice(0, 4).map(digits).join("");
}

/** An address of 40 hexadecimal digits in the letter case that carries its checksum (EIP-55), without `0x`. */
export function checksummed(digits) {
  const lower = digits.toLowerCase();
  const hash = keccak256(new TextEncoder().encode(lower));
  return [...lower].map((digit, index) => (parseInt(hash[index], 16) > 7 ? digit.toUpperCase() : digit)).join("");
}
