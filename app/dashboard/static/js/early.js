// Before the first paint, so that nobody is flashed by the other theme.
const chosen = localStorage.getItem("dashboard.theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;

// A browser on a system that names no language says "en-US@posix", which its own Intl refuses: the picture's library would
// not load.
try {
  Intl.getCanonicalLocales(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: "en-US", configurable: true });
}

// A module that did not arrive (the network changed, the server restarted) leaves an empty page: try again by itself.
const TRIES = "dashboard.loadTries";
const tries = Number(sessionStorage.getItem(TRIES) ?? 0);
addEventListener(
  "error",
  ({ target }) => {
    if (target?.tagName !== "SCRIPT") return;
    const place = document.getElementById("app") ?? document.querySelector("main");
    if (place) place.textContent = "The page could not be loaded completely. Reload it to try again.";
    if (tries >= 3) return;
    sessionStorage.setItem(TRIES, tries + 1);
    setTimeout(() => location.reload(), 1000 * (tries + 1));
  },
  true,
);
