import { withCurrency } from "../money.js";
import * as findings from "./findings.js";
import * as payments from "./payments.js";
import * as pool from "./pool.js";
import * as tokens from "./tokens.js";
import * as webhooks from "./webhooks.js";

const ALL = { ...pool, ...findings, ...payments, ...tokens, ...webhooks };

/**
 * The user's actions by name: `actions.confirm(finding)` opens the dialog with a description.
 *
 * Each function of the modules above returns a description: texts, fields, input checks, the request, the message on
 * success, and the messages if another user has acted first (`overtaken`, by current status or error code). Its first
 * argument is the context of the action. Hints and checks may be functions, evaluated whenever the dialog is drawn, since
 * the pool changes while it is open. `actions.confirm(finding, { afterwards })` calls `afterwards()` after success.
 *
 * An action that cannot be taken back has `review(typed)`: what is about to be done, `{text, recipient}`, shown before the
 * request is sent. A field's `warn(value)` returns a text, or a promise of one, that does not stop anybody.
 */
export function actionsOf(dashboard, open) {
  let opened = 0;
  const defaults = { dashboard, check: () => ({}), fields: [], overtaken: {} };
  const opener = (name, describe) => (...subjects) => {
    opened += 1;
    open({ key: opened, name, ...defaults, ...describe(contextOf(dashboard), ...subjects), afterwards: subjects.at(-1)?.afterwards });
  };
  return Object.fromEntries(Object.entries(ALL).map(([name, describe]) => [name, opener(name, describe)]));
}

function contextOf(dashboard) {
  const currency = dashboard.state?.pool.currency;
  /** The available amount; null while it may be out of date, in which case only the server checks it. */
  const available = () => (dashboard.isStale ? null : (dashboard.state?.pool?.available ?? null));
  const availableHint = (before = "") => (available() === null ? before : `${before}${withCurrency(available(), currency)} are available.`);
  return { dashboard, currency, available, availableHint };
}
