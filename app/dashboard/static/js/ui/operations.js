import { clockTime } from "../time.js";
import { Empty, Panel, html } from "./preact.js";

const READINGS = [
  ["beat_tick_age_seconds", "Beat's last tick", " s ago", 5],
  ["outbox_waiting", "Stored events not yet sent", "", 50],
  ["outbox_oldest_seconds", "Oldest of them", " s", 5],
  ["rooms_waiting", "Rooms waiting for their turn", "", Infinity],
  ["rooms_overdue_seconds", "Latest room's delay", " s", 2],
  ["payments_waiting PENDING", "Payments pending", "", Infinity],
  ["payments_waiting PROCESSING", "Payments on their way", "", Infinity],
  ["payments_waiting FAILED", "Payments failed", "", 0],
  ["payments_oldest_seconds PENDING", "Oldest pending payment", " s", 60],
  ["celery_queue_length realtime", "Realtime tasks queued", "", 20],
  ["celery_queue_length payments", "Payment tasks queued", "", 100],
  ["celery_queue_length maintenance", "Maintenance tasks queued", "", 20],
];
const EVENTS = [
  ["emitted", "Events sent", Infinity],
  ["dropped", "Dropped from full queues", 0],
  ["undelivered", "Told to absent clients", Infinity],
  ["failures", "Emissions that failed", 0],
  ["limited", "Refused by a limit", Infinity],
];

/** The operators' page: everything at one glance, what needs a look in red and in words. */
export function Operations({ status, fault, readAt, onSignOut }) {
  return html`
    <header class="bar">
      <span class="brand"><img src="/static/mark.svg" alt="" width="22" height="22" /><h1>Operations</h1></span>
      <span class="pill ${fault ? "status-reconnecting" : "status-live"}" role="status" data-status=${fault ? "stale" : "live"}>
        <span class="pill-dot" aria-hidden="true"></span>${fault ? "Stale" : "Live"}
      </span>
      <span class="bar-space"></span>
      <a href="/">Dashboard</a>
      <button class="quiet" onClick=${onSignOut}>Sign out</button>
    </header>
    ${fault && html`<div class="banner status-error" role="alert">${fault.message} ${readAt && `What is below was read at ${clockTime(readAt)}.`}</div>`}
    <main id="main">${status ? html`<${Panels} status=${status} />` : html`<div class="waiting"><h1>Reading…</h1></div>`}</main>
  `;
}

function Panels({ status }) {
  const { rooms, agents, events, readings, processes, versions } = status;
  const backlog = READINGS.filter(([key]) => key in readings).map(([key, label, unit, most]) => [key, label, readings[key], unit, most]);
  return html`<div class="panels ops">
    <${Numbers} id="ops-backlog" title="Backlogs" rows=${backlog} />
    <${Numbers} id="ops-events" title="Events since the start" rows=${EVENTS.map(([key, label, most]) => [key, label, events[key], "", most])} />
    <${Numbers} id="ops-agents" title="Agents" rows=${[
      ["known", "Known", agents.known, "", Infinity],
      ["online", "Heard within two minutes", agents.online, "", Infinity],
      ["busy", "Working", agents.busy, "", Infinity],
    ]} />
    <${Panel} id="ops-system" title="Processes and versions">
      <ul class="processes">${processes.map((each) => html`<li key=${each}>${each}</li>`)}</ul>
      <dl class="numbers">${Object.entries(versions).map(([name, text]) => html`<div key=${name}><dt>${name}</dt><dd>${text}</dd></div>`)}</dl>
    <//>
    <${Panel} id="ops-rooms" title="Rooms" aside=${html`<span class="hint">${rooms.length} with connections or waiting events</span>`}>
      ${rooms.length ? html`<${Rooms} rooms=${rooms} />` : html`<${Empty} title="Nobody is connected">Rooms appear with their first connection.<//>`}
    <//>
  </div>`;
}

function Numbers({ id, title, rows }) {
  return html`<${Panel} id=${id} title=${title}>
    <dl class="numbers">
      ${rows.map(([key, label, value, unit, most]) => {
        const isBad = Number(value) > most;
        return html`<div key=${key} class=${isBad ? "is-bad" : ""} data-reading=${key}><dt>${label}</dt><dd>${rounded(value)}${unit}${isBad && html`<span> · look</span>`}</dd></div>`;
      })}
    </dl>
  <//>`;
}

const rounded = (value) => (Number.isInteger(Number(value)) ? value : Number(value).toFixed(1));

function Rooms({ rooms }) {
  const heads = ["Room", "Connections", "Last second", "Queue", "Agents waiting", "Seq"];
  return html`<div class="rooms" tabindex="0" role="group" aria-label="Rooms"><table>
    <thead><tr>${heads.map((head) => html`<th key=${head} scope="col">${head}</th>`)}</tr></thead>
    <tbody>
      ${rooms.map(
        (room) => html`<tr key=${room.protocolId} data-room=${room.protocolId}>
          <th scope="row">${room.protocolId}</th>
          <td>${room.connections}</td>
          <td>${room.used} of ${room.budget}</td>
          <td class=${Number(room.queued) >= Number(room.capacity) ? "is-bad" : ""}>${room.queued} of ${room.capacity}</td>
          <td>${room.agentsWaiting}</td>
          <td>${room.seq}</td>
        </tr>`,
      )}
    </tbody>
  </table></div>`;
}
