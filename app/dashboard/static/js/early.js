// Before the first paint, so that nobody is flashed by the other theme.
const chosen = localStorage.getItem("dashboard.theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;

// A module that did not arrive (the network changed, the server restarted) leaves an empty page: try again by itself.
const TRIES = "dashboard.loadTries";
const tries = Number(sessionStorage.getItem(TRIES) ?? 0);
addEventListener(
  "error",
  ({ target }) => {
    if (target?.tagName !== "SCRIPT") return;
    document.getElementById("app").textContent = "The page could not be loaded completely. Reload it to try again.";
    if (tries >= 3) return;
    sessionStorage.setItem(TRIES, tries + 1);
    setTimeout(() => location.reload(), 1000 * (tries + 1));
  },
  true,
);
