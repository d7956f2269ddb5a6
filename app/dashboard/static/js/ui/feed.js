import { ago, fullTime } from "../time.js";
import { Empty, Panel, html, memo, useState } from "./preact.js";

const FILTERS = {
  key: ["Key", (item) => item.isKey],
  all: ["All", () => true],
  money: ["Money", (item) => item.kind === "money"],
  findings: ["Findings", (item) => item.kind === "findings"],
  agents: ["Agents", (item) => item.kind === "agents"],
};

export function FeedPanel({ dashboard }) {
  const { now, feed } = dashboard;
  const [filter, setFilter] = useState("key");
  const shown = feed.items.filter(FILTERS[filter][1]);
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
            ${shown.slice(0, 100).map((item) => html`<${Item} key=${item.key} item=${item} ...${namesOf(item, dashboard)} when=${ago(item.at, now)} />`)}
          </ol>
        </div>`}
  <//>`;
}

function namesOf({ kind, agentId, findingId, title, text }, dashboard) {
  const finding = findingId && dashboard.findingTitle(findingId);
  const parts = kind === "money" ? [text, finding] : [finding, text];
  return { who: agentId ? dashboard.agentName(agentId) : title, what: parts.filter(Boolean).join(" · ") };
}

const Item = memo(
  ({ item, who, what, when }) => html`<li class="feed-item tone-${item.tone}" data-kind=${item.kind}>
    <span class="feed-mark" aria-hidden="true"></span>
    <span class="feed-words"><strong>${who}</strong> <span>${what}</span></span>
    <time datetime=${item.at} title=${fullTime(item.at)}>${when}</time>
  </li>`,
);
