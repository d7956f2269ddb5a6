import { ago, fullTime } from "../time.js";
import { Empty, Panel, html, memo, useState } from "./preact.js";

const FILTERS = {
  key: ["Key", (item) => item.isKey],
  all: ["All", () => true],
  money: ["Money", (item) => item.kind === "money"],
  findings: ["Findings", (item) => item.kind === "findings"],
  agents: ["Agents", (item) => item.kind === "agents"],
};

export function FeedPanel({ items, now }) {
  const [filter, setFilter] = useState("key");
  const shown = items.filter(FILTERS[filter][1]);
  const aside = html`<div class="segments small" role="group" aria-label="Show events">
    ${Object.entries(FILTERS).map(
      ([key, [label]]) => html`<button key=${key} aria-pressed=${String(key === filter)} onClick=${() => setFilter(key)}>${label}</button>`,
    )}
  </div>`;
  return html`<${Panel} id="feed" title="Events" aside=${aside}>
    ${shown.length === 0
      ? html`<${Empty} title="Quiet so far">Whatever happens from now on is told here.<//>`
      : html`<div class="feed" tabindex="0" role="log" aria-live=${filter === "key" ? "polite" : "off"} aria-label="Events, newest first">
          <ol>
            ${shown.slice(0, 100).map((item) => html`<${Item} key=${item.key} item=${item} when=${ago(item.at, now)} />`)}
          </ol>
        </div>`}
  <//>`;
}

const Item = memo(
  ({ item, when }) => html`<li class="feed-item tone-${item.tone}" data-kind=${item.kind}>
    <span class="feed-mark" aria-hidden="true"></span>
    <span class="feed-words"><strong>${item.title}</strong> <span>${item.text}</span></span>
    <time datetime=${item.at} title=${fullTime(item.at)}>${when}</time>
  </li>`,
);
