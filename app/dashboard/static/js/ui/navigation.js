import { whole } from "../money.js";
import { html } from "./preact.js";
import { viewsOf } from "./views/index.js";

/** The links to the views; none while there is only one. Beside the portfolio there are none of a protocol's views. */
export function Navigation({ dashboard, address, current }) {
  const { session, protocols, listing } = dashboard;
  const isOfProtocol = address.values.protocol !== "" || protocols.length < 2;
  const views = viewsOf(session, protocols).filter(([, { isWithoutProtocol }]) => isWithoutProtocol || isOfProtocol);
  const mayBeMore = !listing.isRead && (session.grants.length > 1 || session.grants[0] === "*");
  if (views.length < 2) return mayBeMore && html`<div class="views"></div>`; // nothing moves when they come
  const linkOf = (id, { isForSeveral }) => address.href(isForSeveral ? { view: "", protocol: "" } : { view: id });
  return html`<nav class="views" aria-label="Views">
    ${views.map(([id, view]) => {
      const { label, count } = view;
      const number = dashboard.state && count ? count(dashboard) : 0;
      return html`<a key=${id} href=${linkOf(id, view)} aria-current=${id === current ? "page" : undefined}>
        ${label}${number > 0 && html` <span class="count">${whole(number)}</span>`}
      </a>`;
    })}
  </nav>`;
}
