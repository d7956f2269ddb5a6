import { useEffect, useLayoutEffect, useRef } from "./preact.js";

/**
 * Keeps the keyboard's place. When what had the focus is taken off the page (a row's button, once the row is decided),
 * focus goes to what is left of its row, else to what scrolls there, else to the content; not to the top of the page.
 * To be used by the component that draws everything.
 */
export function useKeptFocus() {
  const last = useRef(null);
  useEffect(() => watch(last), []);
  useLayoutEffect(() => restore(last.current));
}

/** A dialog gives focus back by itself, to what had it before: that is what counts. */
function watch(last) {
  const note = () => {
    const element = document.activeElement;
    if (element?.closest("dialog")) return;
    last.current = !element || element === document.body ? null : placeOf(element);
  };
  // Whoever clicks beside everything gives the focus up, and is not to get it back.
  const noteSoon = () => setTimeout(note);
  document.addEventListener("focusin", note);
  document.addEventListener("pointerdown", noteSoon);
  return () => {
    document.removeEventListener("focusin", note);
    document.removeEventListener("pointerdown", noteSoon);
  };
}

function placeOf(element) {
  const row = element.closest("[data-finding], [data-payment]");
  const [name, id] = Object.entries(row?.dataset ?? {}).find(([key]) => key === "finding" || key === "payment") ?? [];
  const scroller = element.closest("[tabindex='0']")?.classList[0];
  return {
    element,
    row: name && `[data-${name}="${CSS.escape(id)}"] button`,
    scroller: scroller && `.${scroller}[tabindex='0']`, // by name: it is another one when the rows take another form
  };
}

function restore(last) {
  const isLost = last && (!document.activeElement || document.activeElement === document.body);
  if (!isLost || isSeen(last.element)) return;
  const nearest = [last.row, last.scroller, "#main"].map((selector) => selector && document.querySelector(selector));
  nearest.find((each) => each && isSeen(each))?.focus();
}

const isSeen = (element) => element.isConnected && element.getClientRects().length > 0;
