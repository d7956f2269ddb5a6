import { useLayoutEffect, useRef, useState } from "./preact.js";

const OVERSCAN_ROWS = 4;

/**
 * Draw only the rows of a long list that are in sight.
 *
 * @param {{count: number, rowHeight: number, columnWidth?: number, gap?: number}} options sizes in pixels
 * @returns the `ref` of the scrolling element, the `first` and `last` (excluded) item to draw, and the room to leave
 *   `before` and `after` them in pixels
 */
export function useWindowed({ count, rowHeight, columnWidth = Infinity, gap = 0 }) {
  const ref = useRef(null);
  const [view, setView] = useState({ top: 0, height: 600, width: 0 });
  useLayoutEffect(() => observe(ref.current, setView), []);
  const columns = columnWidth === Infinity ? 1 : Math.max(1, Math.floor((view.width + gap) / (columnWidth + gap)));
  const rows = Math.ceil(count / columns);
  const clamp = (row) => Math.max(0, Math.min(rows, row));
  const firstRow = clamp(Math.floor(view.top / rowHeight) - OVERSCAN_ROWS);
  const lastRow = clamp(Math.ceil((view.top + view.height) / rowHeight) + OVERSCAN_ROWS);
  return {
    ref,
    columns,
    first: firstRow * columns,
    last: Math.min(count, lastRow * columns),
    before: firstRow * rowHeight,
    after: (rows - lastRow) * rowHeight,
  };
}

function observe(element, setView) {
  let frame = 0;
  const read = () => {
    frame = 0;
    const { scrollTop, clientHeight, clientWidth } = element;
    const next = { top: scrollTop, height: clientHeight, width: clientWidth };
    setView((view) => (Object.keys(next).every((key) => next[key] === view[key]) ? view : next));
  };
  const request = () => (frame ||= requestAnimationFrame(read));
  read();
  element.addEventListener("scroll", request, { passive: true });
  const sizes = new ResizeObserver(request);
  sizes.observe(element);
  return () => {
    cancelAnimationFrame(frame);
    element.removeEventListener("scroll", request);
    sizes.disconnect();
  };
}
