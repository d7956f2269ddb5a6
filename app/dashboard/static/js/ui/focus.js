import { useEffect, useLayoutEffect, useRef } from "./preact.js";

/**
 * Keeps the keyboard focus near its place. When the focused element is removed (a button of a decided row), the focus moves
 * to its panel or row, else to the scrolling element, else to the content, instead of the top of the page.
 * To be used by the root component.
 */
export function useFocusRestore() {
  const last = useRef(null);
  useEffect(() => watch(last), []);
  useLayoutEffect(() => restore(last.current));
}

/** Ignores dialogs: they restore the previous focus themselves. */
function watch(last) {
  const note = () => {
    const element = document.activeElement;
    if (element?.closest("dialog")) return;
    last.current = !element || element === document.body ? null : placeOf(element);
  };
  // A click beside all elements gives up the focus, which must not be restored.
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
    panel: element.closest(".side-panel") && ".side-panel",
    row: name && `[data-${name}="${CSS.escape(id)}"] button`,
    scroller: scroller && `.${scroller}[tabindex='0']`, // by class, since another layout has another element
  };
}

function restore(last) {
  const isLost = last && (!document.activeElement || document.activeElement === document.body);
  if (!isLost || isSeen(last.element)) return;
  const nearest = [last.panel, last.row, last.scroller, "#main"].map((selector) => selector && document.querySelector(selector));
  nearest.find((each) => each && isSeen(each))?.focus();
}

const isSeen = (element) => element.isConnected && element.getClientRects().length > 0;
