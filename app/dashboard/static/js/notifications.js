const STORED = "dashboard.notifications";
const ICONS = { false: "/static/mark.svg", true: "/static/mark-alert.svg" };

/** Whether the user has chosen notifications of the browser, and the browser allows them. */
export function areOn() {
  return isPossible() && localStorage.getItem(STORED) === "on" && Notification.permission === "granted";
}

/** Browsers show notifications to secure pages only. */
export const isPossible = () => "Notification" in globalThis && globalThis.isSecureContext;

/** Switch them on or off. Returns why that is not possible, as text for users; null if it was done. */
export async function toggle() {
  if (areOn()) {
    localStorage.removeItem(STORED);
    return null;
  }
  const permission = await Notification.requestPermission();
  if (permission !== "granted") return "The browser blocks notifications of this page: allow them in its settings.";
  localStorage.setItem(STORED, "on");
  return null;
}

/** Show a notification if nobody looks at the page; several tabs with the same `key` show one. */
export function notify(text, key, onClick) {
  if (!areOn() || (!document.hidden && document.hasFocus())) return;
  const shown = new Notification("Dashboard Realtime", { body: text, tag: key, icon: ICONS.true });
  shown.onclick = () => {
    window.focus();
    shown.close();
    onClick();
  };
}

/** The page's icon has a badge while there are unseen alerts. */
export function setBadge(isOn) {
  const icon = document.querySelector("link[rel=icon]");
  if (icon.getAttribute("href") !== ICONS[isOn]) icon.setAttribute("href", ICONS[isOn]);
}
