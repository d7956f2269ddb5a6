import { Portfolio as Model, needsOf } from "../../portfolio.js";
import { counted, grouped, whole, withCurrency } from "../../money.js";
import { Ticker } from "../../ticker.js";
import { Age } from "../moment.js";
import { Panel, html, memo, useEffect, useMemo } from "../preact.js";
import { useSteadyOrder } from "../steady.js";
import { useWindowed } from "../windowed.js";

const isForFingers = matchMedia("(pointer: coarse), (max-width: 719px)");
const CARD = { rowHeight: () => (isForFingers.matches ? 17.05 : 14.65), columnWidth: 21, gap: 0.9 }; // in rem, as in the style sheet

/** All protocols of the reader, those that need attention first. */
export function Portfolio({ dashboard, address }) {
  const portfolio = useMemo(() => new Model(dashboard.api, () => onRead(portfolio, dashboard)), [dashboard]);
  useEffect(() => follow(portfolio, dashboard), [portfolio]);
  const { items, isRead, error, isCut } = portfolio;
  const needy = items.filter((item) => needsOf(item).length > 0).length;
  const aside = isRead && html`<span class="hint" role="status">${needy === 0 ? "Nothing needs attention" : `${counted(needy, "protocol")} of ${whole(items.length)} with open work`}</span>`;
  return html`<div class="portfolio">
    <${Panel} id="portfolio" title="Protocols" aside=${aside}>
      ${error && html`<p class="fault" role="alert">The overview could not be read: ${error.message}</p>`}
      ${isRead ? html`<${Cards} ...${{ items, address, now: dashboard.now }} />` : !error && html`<p class="none" role="status">Reading…</p>`}
      ${isCut && html`<p class="none">There are more protocols than are shown here.</p>`}
    <//>
  </div>`;
}

/** A protocol that was created meanwhile is missing from the list of those that can be entered. */
function onRead({ items, isCut }, dashboard) {
  const known = new Set(dashboard.protocols.map(({ id }) => id));
  if (!isCut && items.some(({ protocolId }) => !known.has(protocolId))) dashboard.listing.load();
  dashboard.redraw();
}

/** Read it now and every few seconds while the page is visible; the header shows its status. */
function follow(portfolio, dashboard) {
  dashboard.portfolio = portfolio;
  portfolio.load();
  const ticker = new Ticker(() => document.hidden || portfolio.load());
  return () => {
    ticker.stop();
    portfolio.close();
    dashboard.portfolio = null;
  };
}

function Cards({ items, address, now }) {
  const { rows, place: list, news } = useSteadyOrder(items, { idOf: ({ protocolId }) => protocolId, question: "", isHeldOnTouch: true });
  const { ref, columns, first, last, before, after } = useWindowed({ count: rows.length, ...CARD });
  const place = { paddingTop: `${before}px`, paddingBottom: `${after}px`, gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))` };
  return html`<div class="portfolio-list" ref=${list}>
    ${news}
    <div class="portfolio-scroll" ref=${ref} tabindex="0" role="group" aria-label="Protocols, those that need attention first">
      <ul class="portfolio-grid" style=${place}>
        ${rows.slice(first, last).map(
          (item, index) => html`<${Card} key=${item.protocolId} item=${item} at=${first + index + 1} of=${rows.length} ...${linksOf(item, address)} when=${whenOf(item, now)} />`,
        )}
      </ul>
    </div>
  </div>`;
}

/** The addresses that a card links to; they begin without the filters of another protocol. */
function linksOf({ protocolId: protocol }, address) {
  const view = { protocol, view: "" };
  return {
    href: address.href(view),
    failed: address.href({ protocol, view: "money", list: "payments", paymentStatus: "FAILED", from: "", to: "" }),
    pending: address.href({ ...view, status: "PENDING", severity: "ALL", q: "" }),
    confirmed: address.href({ ...view, status: "CONFIRMED", severity: "ALL", q: "" }),
    critical: address.href({ ...view, status: "OPEN", severity: "CRITICAL", q: "" }),
  };
}

const whenOf = ({ lastEventAt }, now) => (lastEventAt ? html`<${Age} at=${lastEventAt} now=${now} />` : "none yet");

const Card = memo(({ item, at, of, href, when, ...links }) => {
  const { protocolId, name, pool, agents } = item;
  const needs = needsOf(item);
  return html`<li class="protocol-card ${needs.length > 0 ? `needs-${needs[0][0]}` : ""}" aria-posinset=${at} aria-setsize=${of} data-protocol=${protocolId}>
    <h3><a class="clip" href=${href} dir="auto">${name}</a> <small class="clip">${protocolId}</small></h3>
    <p class="protocol-needs">
      ${needs.map(([key, count, ...words]) => html`<a key=${key} class="need need-${key}" href=${links[key] ?? href}>${counted(count, ...words)}</a>`)}
      ${needs.length === 0 && html`<span class="soft">Nothing waits</span>`}
    </p>
    <dl class="numbers">
      <div><dt>Available</dt><dd>${withCurrency(pool.available, pool.currency)}</dd></div>
      <div><dt>Reserved</dt><dd>${grouped(pool.reserved)}</dd></div>
      <div><dt>Agents</dt><dd>${whole(agents.online)} online, ${whole(agents.busy)} busy</dd></div>
      <div><dt>Last event</dt><dd>${when}</dd></div>
    </dl>
  </li>`;
});
