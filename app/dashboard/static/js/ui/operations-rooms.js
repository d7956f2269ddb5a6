import { span } from "../time.js";
import { lostRecently } from "./operations-readings.js";
import { html } from "./preact.js";

const HEADS = ["Room", "Connections", "Last second", "Queue", "Dropped", "Agents waiting", "Seq"];

export function Rooms({ rooms }) {
  return html`<div class="rooms" tabindex="0" role="group" aria-label="Rooms"><table>
    <thead><tr>${HEADS.map((head) => html`<th key=${head} scope="col">${head}</th>`)}</tr></thead>
    <tbody>
      ${rooms.map(
        (room) => html`<tr key=${room.protocolId} data-room=${room.protocolId}>
          <th scope="row">${room.protocolId}</th>
          <td>${room.connections}</td>
          <td>${room.used} of ${room.budget}</td>
          <td class=${Number(room.queued) >= Number(room.capacity) ? "is-bad" : ""}>${room.queued} of ${room.capacity}</td>
          <td class="room-dropped ${lostRecently(room) ? "is-bad" : ""}">${room.dropped}${lossOf(room)}</td>
          <td>${room.agentsWaiting}</td>
          <td>${room.seq}</td>
        </tr>`,
      )}
    </tbody>
  </table></div>`;
}

const lossOf = ({ secondsSinceDrop }) => (secondsSinceDrop === null ? "" : ` · ${span(Number(secondsSinceDrop) * 1000)} ago`);
