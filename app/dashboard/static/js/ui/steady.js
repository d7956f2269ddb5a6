import { html, useLayoutEffect, useRef, useState } from "./preact.js";

const RELEASE_MS = 500; // longer than the time between lifting a finger and the click that follows

/**
 * Keeps the order of a live list while it is in use (hovered, focused or scrolled), so that no row moves under the
 * pointer. Rows change in place, rows behind the last one are appended; other new ones wait until the list is released or
 * the user asks for them.
 *
 * @param {object[]} rows in the present order
 * @param {object} options `idOf(row)`; `question`: the filter and the order as text (a change of it is shown at once);
 *   `latest(id)`: the present row of an id that `rows` may lack; `isHeldOnTouch`: hold always where nothing can hover, read
 *   at the same moment as `rows`
 * @returns `rows` to show; `place`: the ref of the list's element; `news`: the button that shows the present order, or null
 */
export function useSteadyOrder(rows, { idOf, question: asked, latest = () => undefined, isHeldOnTouch = false }) {
  const place = useRef(null);
  const held = useRef({ question: null, rows: [], ids: new Set() });
  const [, redraw] = useState(0);
  const isTouch = matchMedia("(hover: none)").matches;
  const isInUse = useInUse(place) || (isHeldOnTouch && isTouch);
  const question = isTouch ? `${asked} ${isHeldOnTouch}` : asked; // the rows of the moment when the holding begins
  if (!isInUse || held.current.question !== question || held.current.rows.length === 0) {
    held.current = { question, rows, ids: new Set(rows.map(idOf)) };
    return { rows, place, news: null };
  }
  const byId = new Map(rows.map((row) => [idOf(row), row]));
  held.current.rows = held.current.rows.map((row) => byId.get(idOf(row)) ?? latest(idOf(row)) ?? row);
  append(held.current, rows, idOf);
  const count = rows.filter((row) => !held.current.ids.has(idOf(row))).length;
  const isMoved = rows.some((row, index) => idOf(row) !== idOf(held.current.rows[index] ?? row));
  const show = () => {
    held.current.question = null;
    scrollers(place.current).forEach((each) => each.scrollTo(0, 0));
    redraw((times) => times + 1);
  };
  const news = (count > 0 || isMoved) && html`<button class="news" onClick=${show}>${count > 0 ? `${count} new` : "Order changed"}</button>`;
  return { rows: held.current.rows, place, news: news || null };
}

function append(held, rows, idOf) {
  const end = rows.findIndex((row) => idOf(row) === idOf(held.rows.at(-1)));
  const added = end < 0 ? [] : rows.slice(end + 1).filter((row) => !held.ids.has(idOf(row)));
  held.rows = [...held.rows, ...added];
  added.forEach((row) => held.ids.add(idOf(row)));
}

const scrollers = (element) => [element, ...element.querySelectorAll("[tabindex='0']")];

function useInUse(place) {
  const [isInUse, setInUse] = useState(false);
  useLayoutEffect(() => watch(place.current, setInUse), []);
  return isInUse;
}

function watch(element, setInUse) {
  let timer = 0;
  const isInUse = () => element.matches(":hover, :focus-within") || scrollers(element).some((each) => each.scrollTop > 0);
  const check = () => {
    clearTimeout(timer);
    if (isInUse()) setInUse(true);
    else timer = setTimeout(() => setInUse(isInUse()), RELEASE_MS);
  };
  const names = ["pointerenter", "pointerdown", "pointerleave", "focusin", "focusout"];
  names.forEach((name) => element.addEventListener(name, check));
  element.addEventListener("scroll", check, { passive: true, capture: true });
  return () => {
    clearTimeout(timer);
    names.forEach((name) => element.removeEventListener(name, check));
    element.removeEventListener("scroll", check, { capture: true });
  };
}
