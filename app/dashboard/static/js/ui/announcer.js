import { html, useEffect, useRef, useState } from "./preact.js";

const PAUSE_MS = 3000;

/**
 * Announces new items to screen readers, at most one sentence every few seconds: the newest item and the number of others.
 * The list itself is not a live region, because its relative times change constantly.
 *
 * @param {{items: {key: string, at: string}[], now: number, wordsOf: (item) => string}} properties newest item first
 */
export function Announcer({ items, now, wordsOf }) {
  const [text, setText] = useState("");
  const [begun] = useState(now);
  const latest = useRef({});
  const announced = useRef(new Set());
  const timer = useRef(0);
  latest.current = { items, wordsOf };
  const pending = () => latest.current.items.filter(({ key, at }) => Date.parse(at) > begun && !announced.current.has(key));
  const announce = () => {
    const fresh = pending();
    timer.current = 0;
    if (fresh.length === 0) return;
    announced.current = new Set(latest.current.items.map(({ key }) => key));
    setText(latest.current.wordsOf(fresh[0]) + (fresh.length > 1 ? `, and ${fresh.length - 1} more` : ""));
    timer.current = setTimeout(announce, PAUSE_MS);
  };
  useEffect(() => {
    if (!timer.current) announce();
  }, [items]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return html`<p class="visually-hidden" role="status">${text}</p>`;
}
