import { exportCsv } from "../../export.js";
import { entriesPath, paymentsPath } from "../../money-records.js";
import { whole } from "../../money.js";
import { months } from "../../period.js";
import { html, useEffect, useRef, useState } from "../preact.js";

const MONTHS = 12;
const IDLE = { running: null, bytes: 0, problem: null };

/** A menu of CSV files: the selection shown, and each of the latest months. */
export function ExportMenu({ dashboard, address, protocolId, now }) {
  const [state, setState] = useState(IDLE);
  const place = useRef(null);
  const stop = useRef(null);
  useEffect(() => () => stop.current?.abort(), []);
  useEffect(() => closeOutside(place.current), []);

  const run = async (what, path) => {
    place.current.open = false;
    stop.current?.abort();
    const { signal } = (stop.current = new AbortController());
    setState({ ...IDLE, running: what });
    const onProgress = (bytes) => signal.aborted || setState({ running: what, bytes, problem: null });
    try {
      const name = await exportCsv((...request) => dashboard.api.open(...request), path, { onProgress, signal });
      setState(IDLE);
      dashboard.say(`Saved ${name}.`);
    } catch (problem) {
      if (!signal.aborted) setState({ ...IDLE, problem: `${what} could not be exported: ${problem.message}` });
    }
  };
  const cancel = () => {
    stop.current.abort();
    setState(IDLE);
  };

  return html`<div class="export">
    <${Menu} ...${{ place, run, protocolId, now, values: address.values }} />
    ${state.running &&
    html`<span class="hint" role="status">Exporting ${state.running}${state.bytes > 0 && ` · ${whole(Math.ceil(state.bytes / 1000))} kB`}</span>
      <button class="quiet" onClick=${cancel}>Stop</button>`}
    ${state.problem && html`<p class="fault" role="alert">${state.problem}</p>`}
  </div>`;
}

function Menu({ place, run, protocolId, now, values }) {
  const { list, from, to, paymentStatus, changeType } = values;
  const ofPayments = (filter) => paymentsPath(protocolId, { status: "ALL", ...filter });
  const ofEntries = (filter) => entriesPath(protocolId, { changeType: "ALL", ...filter });
  const shown = list === "ledger" ? ofEntries({ changeType, from, to }) : ofPayments({ status: paymentStatus, from, to });
  return html`<details class="menu" ref=${place}>
    <summary class="button-like">Export CSV</summary>
    <div class="menu-items">
      <button class="primary" onClick=${() => run("The selection", shown)}>The selection shown</button>
      <ul>
        ${months(now, MONTHS).map(
          ({ key, label, ...period }) => html`<li key=${key}>
            <span>${label}</span>
            <button aria-label="Payments of ${label}" onClick=${() => run(`Payments of ${label}`, ofPayments(period))}>Payments</button>
            <button aria-label="Ledger of ${label}" onClick=${() => run(`Ledger of ${label}`, ofEntries(period))}>Ledger</button>
          </li>`,
        )}
      </ul>
    </div>
  </details>`;
}

/** A menu closes with Escape, and when the focus or a click goes elsewhere. */
function closeOutside(menu) {
  const onEvent = ({ target, key }) => {
    const isLeft = key === "Escape" || (key === undefined && !menu.contains(target));
    if (!menu.open || !isLeft) return;
    menu.open = false;
    if (key) menu.querySelector("summary").focus();
  };
  const names = ["pointerdown", "focusin", "keydown"];
  names.forEach((name) => document.addEventListener(name, onEvent));
  return () => names.forEach((name) => document.removeEventListener(name, onEvent));
}
