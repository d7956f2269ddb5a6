// Before the first paint, so that nobody is flashed by the other theme.
const chosen = localStorage.getItem("dashboard.theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
