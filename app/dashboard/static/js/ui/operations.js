import { rough } from "../money.js";
import { clockTime, span } from "../time.js";
import { ThemeButton } from "./header.js";
import { causesOf } from "./operations-causes.js";
import { BACKLOGS, EVENTS, lostRecently, ratesOf, rising, seriesOf } from "./operations-readings.js";
import { Rooms } from "./operations-rooms.js";
import { Empty, Panel, html } from "./preact.js";
import { Sparkline } from "./sparkline.js";

/** The operators' page. Problems are marked in red and in text. */
export function Operations({ status, fault, readAt, past, onSignOut }) {
  const [state, words] = fault ? ["stale", status ? "Stale" : "Not available"] : status ? ["live", "Live"] : ["connecting", "Reading"];
  const colour = { live: "live", stale: "reconnecting", connecting: "connecting" }[state];
  return html`
    <header class="bar">
      <a class="skip" href="#main">Skip to the content</a>
      <span class="brand"><img src="/static/mark.svg" alt="" width="22" height="22" /><h1>Operations</h1></span>
      <span class="pill status-${colour}" role="status" data-status=${state}><span class="pill-dot" aria-hidden="true"></span>${words}</span>
      <span class="bar-space"></span>
      <nav class="bar-links" aria-label="More pages"><a href="/">Dashboard</a></nav>
      <${ThemeButton} />
      <button class="quiet" onClick=${onSignOut}>Sign out</button>
    </header>
    ${fault && html`<div class="banner status-error" role="alert">${fault.message} ${readAt && `What is below was read at ${clockTime(readAt)}.`}</div>`}
    <main id="main" tabindex="-1" class=${fault && status ? "is-stale" : ""}>
      ${status ? html`<${Panels} status=${status} past=${past} />` : html`<${Waiting} fault=${fault} />`}
    </main>
  `;
}

const Waiting = ({ fault }) =>
  html`<div class="waiting" aria-busy="true"><h1>${fault ? "Nothing could be read yet" : "Reading…"}</h1><p>${fault ? "It is tried again every two seconds." : ""}</p></div>`;

function Panels({ status, past }) {
  const { rooms, agents, events, readings, processes, faults, versions } = status;
  const spanMs = Math.max(1, past.at(-1).at - past[0].at);
  const backlogs = BACKLOGS.filter(([key]) => key in readings).map(([key, label, unit, most]) => ({
    key, label, unit, value: readings[key], isBad: Number(readings[key]) > most, points: seriesOf(past, (each) => each.readings[key]),
  }));
  const isLosing = { dropped: rising(past, "dropped") || rooms.some(lostRecently), failures: rising(past, "failures") };
  const counts = EVENTS.map(([key, label]) => ({ key, label, value: events[key], isBad: isLosing[key], points: ratesOf(past, key), about: `${label}, per second` }));
  const people = AGENTS.map(([key, label]) => ({ key, label, value: agents[key], points: seriesOf(past, (each) => each.agents[key]) }));
  return html`<div class="panels ops">
    <${Causes} causes=${causesOf(status, past)} />
    <${Numbers} id="ops-backlog" title="Backlogs" ...${{ rows: backlogs, spanMs }} />
    <${Numbers} id="ops-events" title="Events" about="counted by this machine's processes" ...${{ rows: counts, spanMs }} />
    <${Numbers} id="ops-agents" title="Agents" ...${{ rows: people, spanMs }} />
    <${Panel} id="ops-system" title="Processes and versions">
      <${Processes} processes=${processes} faults=${faults} />
      <dl class="numbers">${Object.entries(versions).map(([name, text]) => html`<div key=${name}><dt>${name}</dt><dd>${text}</dd></div>`)}</dl>
    <//>
    <${Panel} id="ops-rooms" title="Rooms" aside=${html`<span class="hint">${rooms.length} with connections, waiting events or recent losses</span>`}>
      ${rooms.length ? html`<${Rooms} rooms=${rooms} />` : html`<${Empty} title="Nobody is connected">Rooms appear with their first connection.<//>`}
    <//>
  </div>`;
}

const AGENTS = [
  ["known", "Known"],
  ["online", "Seen within two minutes"],
  ["busy", "Working"],
];

/** What is wrong, in words, each with a link to what to do about it. */
function Causes({ causes }) {
  return html`<${Panel} id="ops-causes" title="What needs attention" aside=${html`<a class="hint" href="/runbooks/README">All runbooks</a>`}>
    <div role="status">
      ${causes.length === 0 && html`<p class="good-news">Nothing: the queues move, and each process shows signs of life.</p>`}
      <ul class="causes">
        ${causes.map(([runbook, words]) => html`<li key=${runbook} data-cause=${runbook}><span>${words}</span> <a href="/runbooks/${runbook}">What to do: ${runbook}</a></li>`)}
      </ul>
    </div>
  <//>`;
}

function Numbers({ id, title, about, rows, spanMs }) {
  return html`<${Panel} id=${id} title=${title} aside=${html`<span class="hint">${about ? `${about} · ` : ""}last ${Math.max(1, Math.round(spanMs / 60_000))} min</span>`}>
    <dl class="numbers with-lines">
      ${rows.map(
        ({ key, label, value, unit = "", isBad, points, about: said = label }) =>
          html`<div key=${key} class=${isBad ? "is-bad" : ""} data-reading=${key}>
            <dt>${label}</dt>
            <dd>${rounded(value)}${unit}${isBad && html`<span> · look</span>`}</dd>
            <dd class="line"><${Sparkline} points=${points} spanMs=${spanMs} label=${said} /></dd>
          </div>`,
      )}
    </dl>
  <//>`;
}

const rounded = (value) => rough(Number(value));

/** Lists the processes with their last sign of life, and each needed role that is silent or missing. */
function Processes({ processes, faults }) {
  return html`<ul class="processes">
    ${processes.map(
      ({ kind, process, version, python, lastSignSeconds, silentSeconds }) =>
        html`<li key=${process + kind} data-kind=${kind} class=${silentSeconds === null ? "" : "is-bad"}>
          <strong>${kind}</strong><span>${process}</span>
          <span class="soft"><span class="sign">sign of life ${span(Number(lastSignSeconds) * 1000)} ago</span> · ${version} · Python ${python}</span>
        </li>`,
    )}
    ${Object.entries(faults).map(([role, fault]) => html`<li key=${role} class="is-bad"><strong>${role}</strong><span>silent · ${fault}</span></li>`)}
  </ul>`;
}
