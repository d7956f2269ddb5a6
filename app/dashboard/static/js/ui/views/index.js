import { lazy } from "../lazy.js";
import { Overview } from "./overview.js";
import { Queue, countOf } from "./queue.js";

/**
 * The views, in the order of the navigation; `?view=` names one.
 *
 * `label`; `View`: a component with the properties `dashboard`, `state`, `actions`, `address`; `roles`: those that see it
 * (admins see all), null for everyone; optionally `count(dashboard)`: the number beside the label, 0 for none;
 * `isWithoutProtocol`: it needs no room, and is the first one shown to people with several protocols, unless it
 * `isAlwaysShown`: also while there is no protocol at all; `isForSeveral`: only for people with several protocols.
 */
export const VIEWS = {
  portfolio: { label: "Protocols", roles: null, View: lazy(() => import("./portfolio.js").then(({ Portfolio }) => Portfolio)), isWithoutProtocol: true, isForSeveral: true },
  overview: { label: "Live", roles: null, View: Overview },
  queue: { label: "Queue", roles: ["validator"], View: Queue, count: countOf },
  money: { label: "Money", roles: ["owner"], View: lazy(() => import("./money.js").then(({ Money }) => Money)), count: failedPayments },
  webhooks: { label: "Webhooks", roles: ["owner"], View: lazy(() => import("./webhooks.js").then(({ Webhooks }) => Webhooks)) },
  admin: { label: "Admin", roles: [], View: lazy(() => import("./admin.js").then(({ Admin }) => Admin)), isWithoutProtocol: true, isAlwaysShown: true },
};

/** The views that this user may see, as `[id, view]`. */
export function viewsOf(session, protocols) {
  const isSeen = ([, { roles, isForSeveral }]) => (!roles || session.may(...roles)) && (!isForSeveral || protocols.length > 1);
  return Object.entries(VIEWS).filter(isSeen);
}

/** The id of the view to show: that of the address if the user may see it, else the first with or without a protocol. */
export function viewOf(session, { view, protocol }, protocols) {
  const mine = viewsOf(session, protocols);
  if (mine.some(([id]) => id === view)) return view;
  const isHome = !protocol && protocols.length > 1;
  const home = isHome && mine.find(([, { isWithoutProtocol, isAlwaysShown }]) => isWithoutProtocol && !isAlwaysShown);
  return (home || mine.find(([, { isWithoutProtocol }]) => !isWithoutProtocol))[0];
}

/** FAILED payments wait for their owner: `/state` holds all of them. */
function failedPayments({ state }) {
  return [...state.payments.values()].filter(({ status }) => status === "FAILED").length;
}
