import { Overview } from "./overview.js";
import { Queue, countOf } from "./queue.js";

/**
 * The views, in the order of the navigation; `?view=` names one.
 *
 * `label`; `View`: a component with the properties `dashboard`, `state`, `actions`, `address`; `roles`: those that see it
 * (admins see all), null for everyone; optionally `count(dashboard)`: the number beside the label, 0 for none;
 * `isWithoutProtocol`: it needs no room, and is the first one shown to people with several protocols.
 */
export const VIEWS = {
  overview: { label: "Live", roles: null, View: Overview },
  queue: { label: "Queue", roles: ["validator"], View: Queue, count: countOf },
};

/** The views that this user may see, as `[id, view]`. */
export const viewsOf = (session) => Object.entries(VIEWS).filter(([, { roles }]) => !roles || session.may(...roles));

/** The id of the view to show: that of the address if the user may see it, else the first with or without a protocol. */
export function viewOf(session, { view, protocol }, protocols) {
  const mine = viewsOf(session);
  if (mine.some(([id]) => id === view)) return view;
  const isHome = !protocol && protocols.length > 1;
  const home = isHome && mine.find(([, { isWithoutProtocol }]) => isWithoutProtocol);
  return (home || mine.find(([, { isWithoutProtocol }]) => !isWithoutProtocol))[0];
}
