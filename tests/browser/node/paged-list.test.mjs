import assert from "node:assert/strict";
import { test } from "node:test";
import { Problem } from "../../../app/dashboard/static/js/api.js";
import { PagedList } from "../../../app/dashboard/static/js/paged-list.js";
import { FakeApi, QUICK } from "./lists.mjs";
import { until } from "../../../clients/js/test/waiting.mjs";

const answer = (path) => {
  const at = Number(new URLSearchParams(path.split("?")[1]).get("cursor") ?? 0);
  return { items: Array.from({ length: 50 }, (_, index) => ({ id: at + index })), nextCursor: at < 2000 ? String(at + 50) : null };
};

test("a list is read page by page, and holds a thousand items at most", async () => {
  const api = new FakeApi(answer);
  const list = new PagedList(api, "/audit?action=DEPOSIT", () => {});
  await list.load();
  assert.deepEqual(api.asked, ["/audit?action=DEPOSIT&limit=50"]);
  while (list.hasMore) await list.more();
  assert.deepEqual([list.items.length, list.items.at(-1).id, list.isFull], [1000, 999, true]);
  await list.more();
  assert.equal(api.asked.length, 20);
  await list.load();
  assert.equal(list.items.length, 50);
});

test("a page whose read fails is read again, and is neither lost nor held twice", async () => {
  const api = new FakeApi(answer);
  const list = new PagedList(api, "/audit", () => {}, QUICK);
  await list.load();
  api.failures = [new Problem(503)];
  await list.more();
  assert.match(list.error.message, /503/);
  await until(() => list.items.length === 100);
  assert.deepEqual([list.error, new Set(list.items.map(({ id }) => id)).size], [null, 100]);
});

test("a list that is read anew while an older page is on its way begins with the first page", async () => {
  const list = new PagedList(new FakeApi(answer), "/audit", () => {});
  await list.load();
  const older = list.more();
  list.load();
  await older;
  await until(() => list.items.length === 50 && list.items[0].id === 0);
});
