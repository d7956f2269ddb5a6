import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Address } from "../../../app/dashboard/static/js/address.js";
import { until } from "../../../clients/js/test/waiting.mjs";

let browser;
let address;
let changes;

/** A window with a history, as far as the address needs one. */
class FakeWindow {
  entries = [];
  at = 0;
  listeners = {};

  constructor(search) {
    this.entries = [search];
    this.history = {
      pushState: (_state, _title, url) => {
        this.entries = [...this.entries.slice(0, this.at + 1), new URL(url, "http://page").search];
        this.at += 1;
      },
      replaceState: (_state, _title, url) => (this.entries[this.at] = new URL(url, "http://page").search),
    };
  }

  get location() {
    const search = this.entries[this.at];
    return { origin: "http://page", pathname: "/", search, href: `http://page/${search}` };
  }

  addEventListener(name, listener) {
    this.listeners[name] = listener;
  }

  back() {
    this.at -= 1;
    this.listeners.popstate();
  }
}

const open = (search) => {
  browser = new FakeWindow(search);
  changes = 0;
  address = new Address(() => (changes += 1), browser);
};
beforeEach(() => open("?inspect&protocol=P1&severity=HIGH"));

test("a place is an entry of the history, and Back returns to it", () => {
  address.go({ protocol: "P2" });
  address.go({ finding: "V1" });
  assert.equal(browser.entries.length, 3);
  browser.back();
  assert.deepEqual([address.values.protocol, address.values.finding], ["P2", ""]);
  browser.back();
  assert.equal(address.values.protocol, "P1");
  assert.equal(changes, 4);
});

test("a filter replaces the entry, and stays when the protocol changes", async () => {
  address.go({ q: "oracle" });
  address.go({ q: "oracle p" });
  await until(() => browser.entries[0].includes("q=oracle+p"));
  address.go({ severity: "LOW" });
  address.go({ protocol: "P2" });
  assert.deepEqual(browser.entries, ["?inspect=&protocol=P1&severity=LOW&q=oracle+p", "?inspect=&protocol=P2&severity=LOW&q=oracle+p"]);
});

test("a change is in the address at once, unless they are so many that the browser would refuse them", () => {
  address.go({ status: "PAID" });
  assert.match(browser.entries[0], /status=PAID/);
  let writes = 0;
  const { replaceState } = browser.history;
  browser.history.replaceState = (...all) => (writes += 1) && replaceState(...all);
  for (let typed = 0; typed < 200; typed += 1) address.go({ q: `oracle ${typed}` });
  assert.ok(writes < 100, String(writes));
  browser.listeners.pagehide();
  assert.match(browser.entries[0], /q=oracle\+199/);
});

test("an unknown value counts as the initial one", () => {
  open("?severity=WORST&sort=-title&status=PAID");
  const { severity, sort, status } = address.values;
  assert.deepEqual([severity, sort, status], ["ALL", "-date", "PAID"]);
});

test("at most one panel is open, and none of another protocol or view", () => {
  address.go({ finding: "V1" });
  address.go({ agent: "A1" });
  assert.deepEqual([address.values.finding, address.values.agent], ["", "A1"]);
  address.go({ view: "money" });
  assert.equal(address.values.agent, "");
});

test("links of the page are followed without loading it, and others are not", () => {
  assert.equal(address.follow("http://page/?protocol=P1&finding=V1"), true);
  assert.equal(address.values.finding, "V1");
  assert.equal(address.follow("http://page/ops"), false);
  assert.equal(address.follow("http://other/?protocol=P2"), false);
});
