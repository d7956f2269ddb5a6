// Runs before the first paint, so that the other theme does not flash.
const chosen = localStorage.getItem("dashboard.theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;

// On a system without a language, a browser reports "en-US@posix", which its own Intl rejects; the chart library would not
// load.
try {
  Intl.getCanonicalLocales(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: "en-US", configurable: true });
}

// A module that fails to load (the network changed, the server restarted) leaves an empty page: reload, at most 3 times.
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
