import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Problem } from "../../../app/dashboard/static/js/api.js";
import { Portfolio, needsOf } from "../../../app/dashboard/static/js/portfolio.js";
import { QUICK } from "./lists.mjs";
import { until } from "../../../clients/js/test/waiting.mjs";

let pages;
let asked;
let failures;
let portfolio;

const item = (protocolId) => ({ protocolId });
const ids = () => portfolio.items.map(({ protocolId }) => protocolId).join("");
/** Pages by cursor, with the entity tag as the content's text. */
const api = {
  async getIfChanged(path, tag) {
    const cursor = new URLSearchParams(path.split("?")[1]).get("cursor") ?? "";
    asked.push(`${cursor}${tag ? " known" : ""}`);
    if (failures.length) throw failures.shift();
    const body = pages[cursor];
    return JSON.stringify(body) === tag ? null : { body, tag: JSON.stringify(body) };
  },
};

beforeEach(() => {
  [asked, failures] = [[], []];
  pages = { "": { items: ["A", "B"].map(item), nextCursor: "2" }, 2: { items: ["C"].map(item), nextCursor: null } };
  portfolio = new Portfolio(api, () => {}, QUICK);
});

test("the server's order is kept, and a page that did not change is asked for by its entity tag", async () => {
  await portfolio.load();
  assert.deepEqual([ids(), portfolio.status], ["ABC", "live"]);
  pages[2].items = ["C", "D"].map(item);
  await portfolio.load();
  assert.deepEqual([ids(), asked], ["ABCD", ["", "2", " known", "2 known"]]);
});

test("a protocol that moves between two pages is shown once, at its better place", async () => {
  pages[""].items = ["C", "A"].map(item);
  pages[2].items = ["C", "B"].map(item);
  await portfolio.load();
  assert.equal(ids(), "CAB");
});

test("one read runs at a time, a failed one is repeated, and at most five pages are read", async () => {
  failures = [new Problem(503, { detail: "no" })];
  portfolio.load();
  await portfolio.load();
  await until(() => portfolio.isRead);
  assert.deepEqual(asked, ["", "", "2"]);
  pages = new Proxy({}, { get: (_, cursor) => ({ items: [item(`P${cursor}`)], nextCursor: `${Number(cursor) + 1}` }) });
  asked = [];
  await portfolio.load();
  assert.deepEqual([asked.length, portfolio.isCut], [5, true]);
});

test("it counts as stale when nothing could be read for a while", async () => {
  await portfolio.load();
  portfolio.readAt -= 60_000;
  assert.equal(portfolio.status, "reconnecting");
});

test("needs are told worst first, and zeros are not", () => {
  const needs = needsOf({ vulnerabilities: { pending: "3", confirmed: "0", criticalOpen: "1" }, payments: { pending: "0", failed: "2" } });
  assert.deepEqual(needs.map(([key, count]) => `${key} ${count}`), ["failed 2", "critical 1", "pending 3"]);
});
