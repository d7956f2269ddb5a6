import { useLayoutEffect, useRef, useState } from "./preact.js";

const OVERSCAN_ROWS = 4;

/**
 * Renders only the visible rows of a long list.
 *
 * @param {{count: number, rowHeight: number | ((width: number) => number), columnWidth?: number, gap?: number}} options
 *   sizes in rem; `rowHeight` may be a function of the available width
 * @returns the `ref` of the scrolling element, the `first` and `last` (excluded) item to render, and the space
 *   `before` and `after` them in pixels; `width` is the available width in rem
 */
export function useWindowed({ count, rowHeight, columnWidth = Infinity, gap = 0 }) {
  const ref = useRef(null);
  const [view, setView] = useState({ top: 0, height: 600, width: 0, rem: 16 });
  useLayoutEffect(() => observe(ref.current, setView), []);
  const { rem } = view;
  const width = view.width / rem;
  const height = rem * (typeof rowHeight === "function" ? rowHeight(width) : rowHeight);
  const fitting = Math.floor((view.width + gap * rem) / ((columnWidth + gap) * rem));
  const columns = columnWidth === Infinity ? 1 : Math.max(1, fitting);
  const rows = Math.ceil(count / columns);
  const clamp = (row) => Math.max(0, Math.min(rows, row));
  const firstRow = clamp(Math.floor(view.top / height) - OVERSCAN_ROWS);
  const lastRow = clamp(Math.ceil((view.top + view.height) / height) + OVERSCAN_ROWS);
  return {
    ref,
    width,
    columns,
    first: firstRow * columns,
    last: Math.min(count, lastRow * columns),
    before: firstRow * height,
    after: (rows - lastRow) * height,
  };
}

function observe(element, setView) {
  let frame = 0;
  const read = () => {
    frame = 0;
    const { scrollTop, clientHeight, clientWidth } = element;
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const next = { top: scrollTop, height: clientHeight, width: clientWidth, rem };
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
