/** Helpers that create elements. Text is always inserted as text, never as HTML. */

/** `h("a", {href: "#x", class: "y"}, "text", child, [more])`; null and false children are skipped. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(3).filter((child) => child != null && child !== false));
  return element;
}

/** The Markdown of descriptions: paragraphs, `code` and **bold**. */
export function markdown(text = "") {
  return text.split(/\n\s*\n/).map((paragraph) => h("p", {}, inline(paragraph.replace(/\s+/g, " "))));
}

export function inline(text = "") {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (part.startsWith("`")) return h("code", {}, part.slice(1, -1));
    if (part.startsWith("**")) return h("strong", {}, part.slice(2, -2));
    return part;
  });
}

/** A circle: empty for light, full for dark, half full if the system decides. */
export function themeMark(name) {
  const draw = (tag, properties, ...children) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(properties)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };
  const fill = name === "dark" ? "currentColor" : "none";
  const circle = draw("circle", { cx: 10, cy: 10, r: 7, fill, stroke: "currentColor", "stroke-width": 1.6 });
  const half = draw("path", { d: "M10 3a7 7 0 0 1 0 14z", fill: name === "auto" ? "currentColor" : "none" });
  return draw("svg", { viewBox: "0 0 20 20", width: 18, height: 18, "aria-hidden": "true" }, circle, half);
}

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|(-?\d+(?:\.\d+)?)/g;

/** A value as coloured JSON with a button that copies it. */
export function json(value, label = "example") {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  const code = h("code");
  let at = 0;
  for (const match of text.matchAll(TOKEN)) {
    const kind = match[2] ? "key" : match[1] ? "string" : "constant";
    code.append(text.slice(at, match.index), h("span", { class: kind }, match[1] ?? match[0]), match[2] ?? "");
    at = match.index + match[0].length;
  }
  code.append(text.slice(at));
  return snippet(code, text, label);
}

/** Code with a button that copies `text`. */
export function snippet(code, text, label) {
  const button = h("button", { type: "button", class: "copy", "aria-label": `Copy ${label}` }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return h("figure", { class: "snippet" }, button, h("pre", { tabindex: "0", "aria-label": label }, code));
}
