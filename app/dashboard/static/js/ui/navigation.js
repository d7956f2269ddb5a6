import { html } from "./preact.js";
import { viewsOf } from "./views/index.js";

/** The links to the views; none while there is only one. */
export function Navigation({ dashboard, address, current }) {
  const views = viewsOf(dashboard.session);
  if (views.length < 2) return null;
  return html`<nav class="views" aria-label="Views">
    ${views.map(([id, { label, count }]) => {
      const number = dashboard.state && count ? count(dashboard) : 0;
      return html`<a key=${id} href=${address.href({ view: id })} aria-current=${id === current ? "page" : undefined}>
        ${label}${number > 0 && html` <span class="count">${number}</span>`}
      </a>`;
    })}
  </nav>`;
}
