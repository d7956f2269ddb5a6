import { html, useEffect, useState } from "./preact.js";

const STORED = "dashboard.shortcuts";
const OPEN = "overlayopen"; // an event of the document, with the overlay's name
const TYPED_INTO = "input, textarea, select, [contenteditable]";
const LOADERS = { palette: () => import("./palette.js"), help: () => import("./help.js") };
const OVERLAYS = { palette: "Palette", help: "Help" };

export const areShortcutsOn = () => localStorage.getItem(STORED) !== "off";
export const setShortcuts = (isOn) => (isOn ? localStorage.removeItem(STORED) : localStorage.setItem(STORED, "off"));
export const openOverlay = (name) => document.dispatchEvent(new CustomEvent(OPEN, { detail: name }));

const PALETTE_KEYS = /^(Mac|iP)/.test(navigator.platform) ? "⌘ K" : "Ctrl K";
export const PaletteButton = () => html`<button class="quiet palette-button" onClick=${() => openOverlay("palette")} aria-keyshortcuts="Control+K Meta+K" title="Search and commands (${PALETTE_KEYS})">Search <kbd>${PALETTE_KEYS}</kbd></button>`;

/**
 * The keys of the page, and the overlays that they open. A key presses the button of the open panel, else of the focused
 * row, that declares it (`aria-keyshortcuts`), so keys do exactly what buttons do. None acts while something is typed or a
 * dialog is open; those without a modifier can be switched off (WCAG 2.1.4).
 */
export function Shortcuts(shared) {
  const [overlay, setOverlay] = useState(null);
  useEffect(() => {
    const show = async ({ detail: name }) => setOverlay(await load(name, shared.dashboard));
    document.addEventListener("keydown", onKeyDown);
    document.addEventListener(OPEN, show);
    return () => {
      document.removeEventListener("keydown", onKeyDown);
      document.removeEventListener(OPEN, show);
    };
  }, [shared.dashboard]);
  return overlay && html`<${overlay.Shown} ...${shared} onClose=${() => setOverlay(null)} />`;
}

async function load(name, dashboard) {
  const module = await LOADERS[name]().catch(() => null);
  if (!module) dashboard.say("This part of the page could not be loaded. Reload the page to try again.", "bad");
  return module && { Shown: module[OVERLAYS[name]] };
}

function onKeyDown(event) {
  const isPalette = (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k";
  if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
  if (isPalette) return act(event, () => openOverlay("palette"));
  const isTyped = event.target.closest?.(TYPED_INTO) || event.target.isContentEditable;
  if (isTyped || event.ctrlKey || event.metaKey || event.altKey || !areShortcutsOn()) return;
  if (event.key === "?") act(event, () => openOverlay("help"));
  else if (event.key === "/") act(event, search);
  else if (["j", "k"].includes(event.key)) act(event, () => step(event.key));
  else if (["c", "r"].includes(event.key) && !event.repeat) pressed(event.key, place(), (button) => act(event, () => button.click()));
}

/** The open panel, else the focused row. */
const place = () => document.querySelector(".side-panel") ?? document.activeElement?.closest("[data-finding]");

function act(event, action) {
  event.preventDefault();
  action();
}

/** The list's own field, or where it has none the palette, which finds findings too. */
function search() {
  const field = document.querySelector('[aria-keyshortcuts="/"]');
  if (field) field.focus();
  else openOverlay("palette");
}

function pressed(key, within, action) {
  const element = within?.querySelector(`[aria-keyshortcuts="${key}"]`);
  if (element) action(element);
}

/** In a panel, to the next or previous finding; else to the next or previous row of the list. */
function step(key) {
  const button = document.querySelector(`.side-panel [aria-keyshortcuts="${key}"]`);
  if (button) return button.click();
  const rows = [...document.querySelectorAll("main [data-finding]")];
  const at = rows.indexOf(document.activeElement?.closest("[data-finding]"));
  const row = at < 0 ? firstInSight(rows) : rows[at + (key === "j" ? 1 : -1)];
  row?.querySelector("a")?.focus();
}

/** Lists draw some rows beyond their edges. */
function firstInSight(rows) {
  const edge = rows[0]?.closest("[tabindex='0']")?.getBoundingClientRect().top ?? 0;
  return rows.find((row) => row.getBoundingClientRect().top >= edge - 1) ?? rows[0];
}
