/** The page at /docs: both documents with a search. */
import { currentTheme, nextTheme } from "/static/js/ui/theme.js";
import { h, inline, markdown, themeMark } from "./dom.js";
import { restGroups } from "./rest.js";
import { socketGroups } from "./sockets.js";

const content = document.getElementById("content");
const search = document.getElementById("search");
const found = document.getElementById("found");

function section(id, title, about, groups) {
  return h(
    "section",
    { id, "aria-labelledby": `${id}-title` },
    h("h2", { id: `${id}-title` }, title),
    h("div", { class: "about" }, markdown(about)),
    groups.map((group) =>
      h(
        "section",
        { class: "group", id: `group-${id}-${group.title.replaceAll(" ", "-")}` },
        h("h3", { class: "group-title" }, group.title),
        h("p", { class: "group-about" }, inline(group.about)),
        group.entries.map((entry) => entry.element),
      ),
    ),
  );
}

function links(sections) {
  return sections.map(([id, title, groups]) => [
    h("a", { class: "top", href: `#${id}` }, title),
    groups.map((group) =>
      h(
        "div",
        { class: "link-group" },
        h("h2", {}, group.title),
        h(
          "ul",
          {},
          group.entries.map((entry) => {
            const link = h("a", { href: `#${entry.id}`, title: entry.path }, h("span", { class: `badge ${entry.badge.kind}` }, entry.badge.text), h("span", {}, entry.title));
            entry.item = h("li", {}, link);
            return entry.item;
          }),
        ),
      ),
    ),
  ]);
}

/** Hides the entries that do not contain every word of the search. */
function filter(entries) {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const entry of entries) {
    const fits = words.every((word) => entry.words.includes(word));
    entry.element.hidden = entry.item.hidden = !fits;
    count += fits;
  }
  for (const group of document.querySelectorAll(".group, .link-group"))
    group.hidden = ![...group.querySelectorAll(".card, li")].some((each) => !each.hidden);
  document.body.classList.toggle("searching", words.length > 0);
  found.textContent = words.length ? `${count} of ${entries.length}` : "";
}

/** Marks the first visible entry in the contents. */
function follow(entries) {
  const visible = new Set();
  const byElement = new Map(entries.map((entry) => [entry.element, entry]));
  const observer = new IntersectionObserver(
    (changes) => {
      for (const change of changes) visible[change.isIntersecting ? "add" : "delete"](change.target);
      const first = entries.find((entry) => visible.has(entry.element));
      for (const entry of entries) entry.item.firstChild.toggleAttribute("aria-current", entry === first);
    },
    { rootMargin: "-80px 0px -60% 0px" },
  );
  for (const element of byElement.keys()) observer.observe(element);
}

function keys(event) {
  if (event.key === "/" && event.target !== search) {
    event.preventDefault();
    search.focus();
  } else if (event.key === "Escape" && event.target === search) {
    search.value = "";
    search.dispatchEvent(new Event("input"));
  }
}

/** The theme button, shared with the dashboard. */
function theme() {
  const button = document.getElementById("theme");
  const draw = (name) => {
    button.setAttribute("aria-label", `Colours: ${name}. Change`);
    button.title = `Colours: ${name}`;
    button.replaceChildren(themeMark(name));
  };
  button.addEventListener("click", () => draw(nextTheme()));
  draw(currentTheme());
}

async function load(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json();
}

async function start() {
  theme();
  try {
    const [rest, sockets] = await Promise.all([load("/openapi.json"), load("/asyncapi.json")]);
    const sections = [
      ["rest", "REST", restGroups(rest)],
      ["socketio", "Socket.IO", socketGroups(sockets)],
    ];
    const about = { rest: rest.info.description, socketio: sockets.info.description };
    const entries = sections.flatMap(([, , groups]) => groups.flatMap((group) => group.entries));
    document.getElementById("links").append(...links(sections).flat(3));
    content.replaceChildren(...sections.map(([id, title, groups]) => section(id, title, about[id], groups)));
    search.addEventListener("input", () => filter(entries));
    document.addEventListener("keydown", keys);
    follow(entries);
    if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  } catch (error) {
    content.replaceChildren(h("p", { class: "loading", role: "alert" }, `The documents could not be read: ${error.message}`));
  }
  content.removeAttribute("aria-busy");
}

start();
