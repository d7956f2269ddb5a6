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
  globalThis.sessionStorage = { getItem: (name) => texts.get(name) ?? null, setItem: (name, text) => texts.set(name, text), removeItem: (name) => texts.delete(name) };
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
