import { whole } from "../money.js";
import { span } from "../time.js";
import { lostRecently } from "./operations-readings.js";
import { html } from "./preact.js";

const HEADS = ["Room", "Connections", "Last second", "Queue", "Oldest waiting", "Dropped", "Agents waiting", "Seq"];

const NEARLY_FULL = 0.8;
const LATE_SECONDS = 15; // a full queue takes ten seconds to leave

export function Rooms({ rooms }) {
  return html`<div class="rooms" tabindex="0" role="group" aria-label="Rooms"><table>
    <thead><tr>${HEADS.map((head) => html`<th key=${head} scope="col">${head}</th>`)}</tr></thead>
    <tbody>
      ${rooms.map(
        (room) => html`<tr key=${room.protocolId} data-room=${room.protocolId}>
          <th scope="row">${room.protocolId}</th>
          <td>${whole(room.connections)}</td>
          <td>${room.used} of ${room.budget}</td>
          <td class="room-queue ${fillOf(room).tone}">${room.queued} of ${room.capacity}${fillOf(room).words}</td>
          <td class="room-oldest ${Number(room.oldestSeconds) > LATE_SECONDS ? "is-bad" : ""}">${room.oldestSeconds === null ? "–" : span(Number(room.oldestSeconds) * 1000)}</td>
          <td class="room-dropped ${lostRecently(room) ? "is-bad" : ""}">${whole(room.dropped)}${lossOf(room)}</td>
          <td>${whole(room.agentsWaiting)}</td>
          <td>${room.seq}</td>
        </tr>`,
      )}
    </tbody>
  </table></div>`;
}

/** How full the queue is, in words too: a full one drops its oldest event with each that arrives. */
function fillOf({ queued, capacity }) {
  const share = Number(queued) / Number(capacity);
  if (share >= 1) return { tone: "is-bad", words: " · full" };
  return share >= NEARLY_FULL ? { tone: "is-held", words: " · nearly full" } : { tone: "", words: "" };
}

const lossOf = ({ secondsSinceDrop }) => (secondsSinceDrop === null ? "" : ` · ${span(Number(secondsSinceDrop) * 1000)} ago`);
