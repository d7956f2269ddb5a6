import htm from "../../vendor/htm.js";
import { Component, h } from "../../vendor/preact.js";

export { Component, render, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../../vendor/preact.js";

/**
 * Preact's `html`, without the cache of elements that have no dynamic part: Preact links each to the tree around it, so
 * that every row that was ever drawn stayed in memory (tests/browser/test_memory.py).
 */
export const html = htm.bind(function uncached(...element) {
  this[0] = 3; // htm: not static
  return h(...element);
});

/** A component that is redrawn only if one of its properties is another object. */
export function memo(draw) {
  return class extends Component {
    shouldComponentUpdate(next) {
      const names = new Set([...Object.keys(this.props), ...Object.keys(next)]);
      return [...names].some((name) => name !== "children" && this.props[name] !== next[name]);
    }

    render(props) {
      return draw(props);
    }
  };
}

/** A panel with a heading, an element beside it, and content. */
export function Panel({ id, title, aside, children }) {
  return html`<section id=${id} class="panel" aria-labelledby="${id}-title">
    <header class="panel-head">
      <h2 id="${id}-title">${title}</h2>
      ${aside}
    </header>
    ${children}
  </section>`;
}

export const Empty = ({ title, children }) => html`<div class="empty"><strong>${title}</strong><p>${children}</p></div>`;
