import { html, useEffect, useRef, useState } from "./preact.js";

const PAUSE_MS = 3000;

/**
 * Tells a screen reader of what is new, one sentence every few seconds at most: of a storm, its newest and how many
 * more. The list itself is no live region: its times are written anew all the while.
 *
 * @param {{items: {key: string, at: string}[], now: number, wordsOf: (item) => string}} properties newest item first
 */
export function Announcer({ items, now, wordsOf }) {
  const [text, setText] = useState("");
  const [begun] = useState(now);
  const latest = useRef({});
  const told = useRef(new Set());
  const timer = useRef(0);
  latest.current = { items, wordsOf };
  const untold = () => latest.current.items.filter(({ key, at }) => Date.parse(at) > begun && !told.current.has(key));
  const tell = () => {
    const fresh = untold();
    timer.current = 0;
    if (fresh.length === 0) return;
    told.current = new Set(latest.current.items.map(({ key }) => key));
    setText(latest.current.wordsOf(fresh[0]) + (fresh.length > 1 ? `, and ${fresh.length - 1} more` : ""));
    timer.current = setTimeout(tell, PAUSE_MS);
  };
  useEffect(() => {
    if (!timer.current) tell();
  }, [items]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return html`<p class="visually-hidden" role="status">${text}</p>`;
}
