import { counted, grouped, withCurrency } from "../../money.js";
import { ReservedFindings } from "../../reserved-findings.js";
import { html, useEffect, useMemo } from "../preact.js";
import { useWindowed } from "../windowed.js";
import { SidePanel } from "./host.js";

const ROW = 3.6; // in rem, as in the style sheet

/** The findings that the pool's reserved amount consists of. */
export function ReservedPanel({ dashboard, state, address }) {
  const { pool } = state;
  const make = () => new ReservedFindings(dashboard.api, dashboard.room.protocolId, () => dashboard.redraw());
  const reserved = useMemo(make, [dashboard]);
  useEffect(() => {
    reserved.load();
    return () => reserved.close();
  }, [reserved]);
  useEffect(() => reserved.reconcile(pool.reserved), [pool.reserved, reserved.items]);
  return html`<${SidePanel} title="Reserved" address=${address}>
    ${reserved.error && html`<p class="fault" role="alert">The findings could not be read: ${reserved.error.message}</p>`}
    ${reserved.isRead ? html`<${Sum} ...${{ reserved, pool }} />` : !reserved.error && html`<p class="none" role="status">Reading…</p>`}
    ${reserved.isRead && reserved.items.length === 0 && html`<p class="none">Nothing is reserved: a bounty is, from the filing or the confirmation of its finding until it is paid.</p>`}
    ${reserved.isRead && html`<${Rows} ...${{ items: reserved.items, currency: pool.currency, address }} />`}
  <//>`;
}

function Sum({ reserved, pool }) {
  const { items, sum, isCut } = reserved;
  const isEqual = sum === pool.reserved;
  return html`<p class="reserved-sum" role="status" data-equal=${String(isEqual)}>
    <strong>${withCurrency(sum, pool.currency)}</strong>
    <span class="soft">reserved for ${counted(items.length, "finding")}${isEqual ? ", as in the pool" : isCut ? " (there are more)" : ""}</span>
    ${!isEqual && html`<span class="soft">The pool holds ${grouped(pool.reserved)}: catching up…</span>`}
  </p>`;
}

function Rows({ items, currency, address }) {
  const { ref, first, last, before, after } = useWindowed({ count: items.length, rowHeight: ROW });
  return html`<div class="reserved-scroll" ref=${ref} tabindex="0" role="group" aria-label="Findings with a reservation">
    <ul style=${{ paddingTop: `${before}px`, paddingBottom: `${after}px` }}>
      ${items.slice(first, last).map(
        ({ id, title, severity, status, reserved }) => html`<li key=${id} class="reserved-row" data-reserved=${id}>
          <a class="clip" href=${address.href({ finding: id })} dir="auto">${title}</a>
          <strong>${withCurrency(reserved, currency)}</strong>
          <span class="soft"><span class="severity severity-${severity}">${severity.toLowerCase()}</span> <span class="state state-${status}">${status.toLowerCase()}</span></span>
        </li>`,
      )}
    </ul>
  </div>`;
}
