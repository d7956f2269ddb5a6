import { PagedList } from "../paged-list.js";
import { html, useEffect, useMemo, useState } from "./preact.js";

/** The list at `path`, read when it is first shown and whenever `path` changes. */
export function usePagedList(api, path) {
  const [, redraw] = useState(0);
  const list = useMemo(() => new PagedList(api, path, () => redraw((count) => count + 1)), [api, path]);
  useEffect(() => {
    list.load();
    return () => list.close();
  }, [list]);
  return list;
}

/**
 * @param {{head: string, cell: (item) => unknown, isWide?: boolean}[]} columns the first one is the row's heading
 * @param {(item) => string} keyOf
 */
export function Table({ list, label, columns, keyOf, empty }) {
  if (list.error && !list.isRead) return html`<p class="fault" role="alert">${list.error.message}</p>`;
  if (!list.isRead) return html`<p class="none" role="status">Reading…</p>`;
  if (list.items.length === 0) return html`<p class="none">${empty}</p>`;
  return html`
    ${list.error && html`<p class="fault" role="alert">${list.error.message}</p>`}
    <div class="admin-scroll" tabindex="0" role="group" aria-label=${label}><table class="admin-table">
      <thead><tr>${columns.map(({ head }) => html`<th key=${head} scope="col">${head}</th>`)}</tr></thead>
      <tbody>
        ${list.items.map((item) => html`<tr key=${keyOf(item)} data-row=${keyOf(item)}>
          ${columns.map(({ head, cell }, at) => (at === 0 ? html`<th key=${head} scope="row">${cell(item)}</th>` : html`<td key=${head} data-head=${head}>${cell(item)}</td>`))}
        </tr>`)}
      </tbody>
    </table></div>
    ${list.hasMore && html`<p class="admin-more"><button onClick=${() => list.more()}>Show older</button></p>`}
    ${list.isFull && html`<p class="none">There are more than are shown here: narrow the filter.</p>`}
  `;
}
