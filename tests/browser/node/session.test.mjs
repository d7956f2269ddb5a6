import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Session } from "../../../app/dashboard/static/js/session.js";

let session;
const realFetch = globalThis.fetch;

const token = (role, seconds) => {
  const claims = { sub: `demo-${role}`, role, protocols: ["demo"], exp: Date.now() / 1000 + seconds };
  return `h.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.s`;
};
const demo = (seconds) => ({ roles: { viewer: token("viewer", seconds), owner: token("owner", seconds) } });

beforeEach(() => {
  const texts = new Map();
  globalThis.localStorage = { getItem: (name) => texts.get(name) ?? null, setItem: (name, text) => texts.set(name, text), removeItem: (name) => texts.delete(name) };
  globalThis.fetch = async () => Response.json(demo(3600));
  session = new Session();
  session.demo = demo(60);
  session.chooseRole("owner");
});
afterEach(() => (globalThis.fetch = realFetch));

test("the demo's token is renewed before it expires", async () => {
  const fresh = await session.token();
  assert.equal(session.role, "owner");
  assert.equal(fresh, session.demo.roles.owner);
});

test("signing out during a renewal stays signed out", async () => {
  const renewal = session.token();
  session.signOut();
  assert.equal(await renewal, null);
  assert.equal(session.isSignedIn, false);
});

test("choosing another role during a renewal keeps that role", async () => {
  const renewal = session.token();
  session.chooseRole("viewer");
  await renewal;
  assert.equal(session.role, "viewer");
});

const own = (seconds, more = {}) => `h.${Buffer.from(JSON.stringify({ sub: "ann", role: "owner", protocols: ["P1"], exp: Date.now() / 1000 + seconds, ...more })).toString("base64url")}.s`;

test("a token of one's own is warned of before it expires, the demo's is not", () => {
  assert.equal(session.expiresIn, null);
  session.signIn(own(3600));
  assert.equal(session.expiresIn, null);
  session.signIn(own(60));
  assert.ok(session.expiresIn > 50_000 && session.expiresIn <= 60_000);
  session.signIn(own(-5));
  assert.equal(session.expiresIn, 0);
});

test("a token is renewed by one of the same user that is still good", async () => {
  session.signIn(own(60));
  assert.match(session.renew("nonsense"), /no token/);
  assert.match(session.renew(own(3600, { sub: "bob" })), /of bob, and you are ann/);
  assert.match(session.renew(own(-1)), /expired/);
  const fresh = own(3600);
  assert.equal(session.renew(fresh), null);
  assert.deepEqual([await session.token(), localStorage.getItem("dashboard.token")], [fresh, fresh]);
});
