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
const LONG = 120; // characters: longer texts are clamped by the style sheet

export function FeedPanel({ dashboard, address, nextStep }) {
  const { now, feed } = dashboard;
  const filter = address.values.events;
  const shown = feed.items.filter(FILTERS[filter][1]);
  const aside = html`<div class="segments small" role="group" aria-label="Show events">
    ${Object.entries(FILTERS).map(
      ([key, [label]]) => html`<button key=${key} aria-pressed=${String(key === filter)} onClick=${() => address.go({ events: key })}>${label}</button>`,
    )}
  </div>`;
  return html`<${Panel} id="feed" title="Events" aside=${aside}>
    <${Announcer} key=${dashboard.room.protocolId} items=${feed.items.filter(FILTERS.key[1])} now=${now} wordsOf=${(item) => wordsOf(item, dashboard)} />
    ${shown.length === 0
      ? (nextStep ?? html`<${Empty} title="No events yet" />`)
      : html`<${List} ...${{ shown: shown.slice(0, MAX_SHOWN), filter, dashboard, address }} />`}
  <//>`;
}

function List({ shown, filter, dashboard, address }) {
  const { rows, place, news } = useSteadyOrder(shown, { idOf: ({ key }) => key, question: filter });
  const hrefOf = ({ findingId }) => findingId && address.href({ finding: findingId });
  return html`<div class="feed-list" ref=${place}>
    ${news}
    <div class="feed" tabindex="0" role="group" aria-label="Events, newest first">
      <ol>
        ${rows.map((item) => html`<${Item} key=${item.key} item=${item} ...${namesOf(item, dashboard)} href=${hrefOf(item)} when=${ago(item.at, dashboard.now)} />`)}
      </ol>
    </div>
  </div>`;
}

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;

/** The parts of an item's text; a severity is a part of its own, styled as in the table. */
function namesOf({ kind, severity, agentId, byId, findingId, findingTitle, title, text }, dashboard) {
  const finding = findingId && (dashboard.findingTitle(findingId) ?? findingTitle ?? "a finding");
  const by = byId && `by ${dashboard.agentName(byId)}`;
  const parts = kind === "money" ? [text, finding] : [finding, by, text];
  return { severity: severity?.toLowerCase(), who: agentId ? dashboard.agentName(agentId) : title, what: parts.filter(Boolean).join(" · ") };
}

/** The item as a sentence for screen readers, without ids that nobody can follow. */
function wordsOf(item, dashboard) {
  const { severity, who, what } = namesOf(item, dashboard);
  return [severity, UUID.test(who) ? "An agent" : who, what].filter(Boolean).join(" ");
}

const Item = memo(
  ({ item, severity, who, what, when, href }) => html`<li class="feed-item tone-${item.tone}" data-kind=${item.kind}>
    <span class="feed-mark" aria-hidden="true"></span>
    <${href ? "a" : "span"} class="feed-words" href=${href} dir="auto" title=${what.length > LONG ? what : undefined}>
      ${severity && html`<span class="severity severity-${severity.toUpperCase()}">${severity}</span> `}<strong>${who}</strong> <span class="soft">${what}</span>
    <//>
    <time datetime=${item.at} title=${fullTime(item.at)}>${when}</time>
  </li>`,
);
