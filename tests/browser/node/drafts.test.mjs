import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Drafts } from "../../../app/dashboard/static/js/drafts.js";

let texts;
let drafts;
let storage;

beforeEach(() => {
  texts = new Map();
  storage = { getItem: (name) => texts.get(name) ?? null, setItem: (name, text) => texts.set(name, text), removeItem: (name) => texts.delete(name) };
  drafts = new Drafts("vera", storage);
});

test("a draft is kept for its request until it is dropped", () => {
  drafts.write("/a", { reason: "known" });
  drafts.write("/b", { reason: "other" });
  assert.deepEqual(drafts.read("/a"), { reason: "known" });
  drafts.drop("/a");
  assert.deepEqual([drafts.read("/a"), drafts.read("/b")], [null, { reason: "other" }]);
  drafts.clear();
  assert.equal(texts.size, 0);
});

test("a draft is shown to nobody but its user", () => {
  drafts.write("/a", { reason: "known" });
  const others = new Drafts("otto", storage);
  assert.equal(others.read("/a"), null);
  others.drop("/a");
  assert.deepEqual(drafts.read("/a"), { reason: "known" });
});

test("an emptied form leaves no draft", () => {
  drafts.write("/a", { reason: "known" });
  drafts.write("/a", { reason: "  " });
  assert.equal(texts.size, 0);
});

test("the newest 20 drafts are kept", () => {
  for (let number = 0; number < 30; number += 1) drafts.write(`/${number}`, { reason: "x" });
  assert.deepEqual([drafts.read("/9"), drafts.read("/10"), drafts.read("/29")], [null, { reason: "x" }, { reason: "x" }]);
});
