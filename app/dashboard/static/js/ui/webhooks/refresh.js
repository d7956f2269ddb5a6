import { useEffect } from "../preact.js";

const REFRESH_MS = 5000;
const FIRST_PAGE = 50;

/** Read the list's first page again every few seconds while the page is visible: no event tells of deliveries. */
export function useRefresh(list) {
  useEffect(() => {
    const isWanted = () => !document.hidden && list.items.length <= FIRST_PAGE;
    const timer = setInterval(() => isWanted() && list.load(), REFRESH_MS);
    return () => clearInterval(timer);
  }, [list]);
}
