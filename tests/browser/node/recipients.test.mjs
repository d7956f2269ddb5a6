import assert from "node:assert/strict";
import { test } from "node:test";
import { checksummed, keccak256 } from "../../../app/dashboard/static/js/keccak.js";
import { recipientWarning } from "../../../app/dashboard/static/js/recipients.js";

const hash = (text) => keccak256(new TextEncoder().encode(text));
const GOOD = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"; // these four are the examples of EIP-55
const EXAMPLES = [GOOD, "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359", "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB", "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb"];

test("the hash is Keccak-256, also of texts longer than one block", () => {
  assert.equal(hash(""), "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
  assert.equal(hash("abc"), "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45");
  assert.equal(hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), "45d3b367a6904e6e8d502ee04999a7c27647f91fa845d456525fd352ae3d7371");
  assert.equal(hash("a".repeat(136)), hash("a".repeat(136)));
  assert.notEqual(hash("a".repeat(135)), hash("a".repeat(136)));
});

test("an address with its checksum raises no warning, one wrong letter or digit does", async () => {
  for (const each of EXAMPLES) {
    assert.equal(checksummed(each.slice(2)), each.slice(2));
    assert.equal(await recipientWarning("USDC", each), null);
  }
  for (const wrong of [GOOD.replace("A", "a"), GOOD.replace("6", "7")]) assert.match(await recipientWarning("USDC", wrong), /checksum is wrong/);
  assert.match(await recipientWarning("USDC", GOOD.toLowerCase()), /no checksum/);
});

test("each currency has its format, and an unknown one has none", async () => {
  assert.match(await recipientWarning("USDC", GOOD.slice(0, -1)), /40 digits or letters a to f, and here are 39/);
  assert.match(await recipientWarning("ETH", "vitalik"), /no Ethereum address/);
  assert.match(await recipientWarning("ETH", `0x${"0".repeat(40)}`), /Nobody owns/);
  assert.match(await recipientWarning("EUR", "0x12"), /no Ethereum address/);
  assert.equal(await recipientWarning("EUR", "DE02120300000000202051"), null);
  assert.equal(await recipientWarning("BTC", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"), null);
  assert.match(await recipientWarning("BTC", GOOD), /Bitcoin/);
  assert.equal(await recipientWarning("USDC", ""), null);
});
