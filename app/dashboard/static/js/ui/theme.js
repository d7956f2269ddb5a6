const STORED = "dashboard.theme";
const THEMES = ["auto", "light", "dark"];

export const currentTheme = () => document.documentElement.dataset.theme ?? "auto";

/** Switch to the next theme, store it, and dispatch `themechange`. Returns its name. */
export function nextTheme() {
  const theme = THEMES[(THEMES.indexOf(currentTheme()) + 1) % THEMES.length];
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  localStorage.setItem(STORED, theme);
  dispatchEvent(new Event("themechange"));
  return theme;
}
