import { useEffect, useState } from "./preact.js";

const narrow = matchMedia("(max-width: 719px)");

/** Whether rows are drawn as cards; the style sheet draws the same line. */
export function useNarrow() {
  const [isNarrow, setIsNarrow] = useState(narrow.matches);
  useEffect(() => {
    const listen = () => setIsNarrow(narrow.matches);
    narrow.addEventListener("change", listen);
    return () => narrow.removeEventListener("change", listen);
  }, []);
  return isNarrow;
}
