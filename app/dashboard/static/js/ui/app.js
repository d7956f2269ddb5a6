import { Actions } from "../actions.js";
import { Agents } from "./agents.js";
import { ActionDialog } from "./dialog.js";
import { FeedPanel } from "./feed.js";
import { FindingsPanel } from "./findings.js";
import { useFocusRestore } from "./focus.js";
import { Header, StaleBanner } from "./header.js";
import { Payments } from "./payments.js";
import { PoolPanel } from "./pool.js";
import { html, useEffect, useMemo, useRef, useState } from "./preact.js";
import { Waiting } from "./waiting.js";

const NOTICE_MS = { good: 6000, bad: 15_000 };

export function App({ dashboard, onSwitch, onRole, onSignOut }) {
  const [action, setAction] = useState(null);
  const actions = useMemo(() => new Actions(dashboard, setAction), [dashboard]);
  const close = (closed) => setAction((shown) => (shown === closed ? null : shown));
  const { state } = dashboard;
  useFocusRestore();
  return html`
    <${Header} ...${{ dashboard, onSwitch, onRole, onSignOut }} />
    <${StaleBanner} dashboard=${dashboard} onSignOut=${onSignOut} />
    <main id="main" tabindex="-1" class=${dashboard.isStale && state ? "is-stale" : ""}>
      <${Preserved} isShown=${state !== null} draw=${() => html`<${Panels} ...${{ dashboard, state, actions }} />`} />
      ${!state && html`<${Waiting} dashboard=${dashboard} onSignOut=${onSignOut} />`}
    </main>
    ${action && html`<${ActionDialog} key=${action.key} action=${action} onClose=${() => close(action)} />`}
    <${Notice} notice=${dashboard.notice} />
  `;
}

/** While hidden it keeps its last content, so that filters survive a switch of the protocol or the role. */
function Preserved({ isShown, draw }) {
  const drawn = useRef(null);
  if (isShown) drawn.current = draw();
  return html`<div hidden=${!isShown}>${drawn.current}</div>`;
}

function Panels({ dashboard, state, actions }) {
  const { session, findings, ledger, now } = dashboard;
  const { agents, agentsTruncated, open, payments, pool } = state;
  const agentName = (id) => dashboard.agentName(id);
  return html`<div class="panels">
    <${PoolPanel} ...${{ pool, points: ledger.points, fault: ledger.error, actions, session, now }} />
    <${Agents} agents=${[...agents.values()]} isTruncated=${agentsTruncated} now=${now} />
    <${FindingsPanel} ...${{ findings, open, payments, actions, session, now, agentName, currency: pool?.currency }} />
    <${Payments} ...${{ payments: [...payments.values()], dashboard, actions }} />
    <${FeedPanel} dashboard=${dashboard} />
  </div>`;
}

/** A notice that is visible for a few seconds and read out by screen readers. */
function Notice({ notice }) {
  const [gone, setGone] = useState(0);
  useEffect(() => {
    const timer = setTimeout(() => setGone(notice?.id ?? 0), NOTICE_MS[notice?.tone] ?? 0);
    return () => clearTimeout(timer);
  }, [notice?.id]);
  const isSeen = notice && notice.id !== gone;
  return html`<div class="notice-place" role="status" aria-live="polite">
    ${isSeen && html`<p class="notice tone-${notice.tone}">${notice.text}</p>`}
  </div>`;
}
