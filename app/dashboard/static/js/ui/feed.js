import { ago, fullTime } from "../time.js";
import { Announcer } from "./announcer.js";
import { Empty, Panel, html, memo } from "./preact.js";
import { useSteadyOrder } from "./steady.js";

const FILTERS = {
  key: ["Key", (item) => item.isKey],
  all: ["All", () => true],
  money: ["Money", (item) => item.kind === "money"],
  findings: ["Findings", (item) => item.kind === "findings"],
  agents: ["Agents", (item) => item.kind === "agents"],
};

const MAX_SHOWN = 100;

export function FeedPanel({ dashboard, address }) {
  const { now, feed } = dashboard;
  const filter = address.values.events;
  const shown = feed.items.filter(FILTERS[filter][1]);
  const aside = html`<div class="segments small" role="group" aria-label="Show events">
    ${Object.entries(FILTERS).map(
      ([key, [label]]) => html`<button key=${key} aria-pressed=${String(key === filter)} onClick=${() => address.go({ events: key })}>${label}</button>`,
    )}
  </div>`;
  const wordsOf = (item) => Object.values(namesOf(item, dashboard)).filter(Boolean).join(" ");
  return html`<${Panel} id="feed" title="Events" aside=${aside}>
    <${Announcer} key=${dashboard.room.protocolId} items=${feed.items.filter(FILTERS.key[1])} now=${now} wordsOf=${wordsOf} />
    ${shown.length === 0
      ? html`<${Empty} title="No events yet">New events appear here.<//>`
      : html`<${List} ...${{ shown: shown.slice(0, MAX_SHOWN), filter, dashboard }} />`}
  <//>`;
}

function List({ shown, filter, dashboard }) {
  const { rows, place, news } = useSteadyOrder(shown, { idOf: ({ key }) => key, question: filter });
  return html`<div class="feed-list" ref=${place}>
    ${news}
    <div class="feed" tabindex="0" role="group" aria-label="Events, newest first">
      <ol>
        ${rows.map((item) => html`<${Item} key=${item.key} item=${item} ...${namesOf(item, dashboard)} when=${ago(item.at, dashboard.now)} />`)}
      </ol>
    </div>
  </div>`;
}

/** The parts of an item's text; a severity is a part of its own, styled as in the table. */
function namesOf({ kind, agentId, findingId, title, text }, dashboard) {
  const finding = findingId && dashboard.findingTitle(findingId);
  const parts = kind === "money" ? [text, finding] : [finding, text];
  const [severity, who] = kind === "findings" ? title.split(/ (.*)/) : [null, agentId ? dashboard.agentName(agentId) : title];
  return { severity: severity?.toLowerCase(), who, what: parts.filter(Boolean).join(" · ") };
}

const Item = memo(
  ({ item, severity, who, what, when }) => html`<li class="feed-item tone-${item.tone}" data-kind=${item.kind}>
    <span class="feed-mark" aria-hidden="true"></span>
    <span class="feed-words">
      ${severity && html`<span class="severity severity-${severity.toUpperCase()}">${severity}</span> `}<strong>${who}</strong> <span class="soft">${what}</span>
    </span>
    <time datetime=${item.at} title=${fullTime(item.at)}>${when}</time>
  </li>`,
);
