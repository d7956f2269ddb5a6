import { actionsOf } from "../actions/index.js";
import { ActionDialog } from "./dialog.js";
import { useFocusRestore } from "./focus.js";
import { Header, StaleBanner } from "./header.js";
import { Navigation } from "./navigation.js";
import { PanelHost } from "./panels/host.js";
import { Shortcuts } from "./shortcuts.js";
import { html, useEffect, useMemo, useState } from "./preact.js";
import { ExpiryWarning, RenewalDialog } from "./renewal.js";
import { VIEWS, viewOf } from "./views/index.js";
import { Waiting } from "./waiting.js";

const NOTICE_MS = { good: 6000, bad: 15_000 };

export function App({ dashboard, address, onRole, onSignOut }) {
  const [action, setAction] = useState(null);
  const actions = useMemo(() => actionsOf(dashboard, setAction), [dashboard]);
  const [isRenewing, setRenewing] = useState(false);
  const renew = () => setRenewing(true);
  const close = (closed) => setAction((shown) => (shown === closed ? null : shown));
  const { state, session, protocols } = dashboard;
  const current = viewOf(session, address.values, protocols);
  const { View, isWithoutProtocol, isAlwaysShown } = VIEWS[current];
  const shared = { dashboard, state, actions, address };
  // Of another user or protocol: what was typed stays as a draft.
  useEffect(() => setAction(null), [dashboard, dashboard.room?.protocolId]);
  useFocusRestore();
  return html`
    <${Header} ...${{ dashboard, address, onRole, onSignOut }} />
    <${Navigation} ...${{ dashboard, address, current }} />
    ${dashboard.isStale ? html`<${StaleBanner} dashboard=${dashboard} onRenew=${renew} />` : html`<${ExpiryWarning} session=${session} onRenew=${renew} />`}
    <div class="workplace">
      <main id="main" tabindex="-1" class=${dashboard.isStale && state ? "is-stale" : ""}>
        ${state || isAlwaysShown || (isWithoutProtocol && protocols.length > 0)
          ? html`<${View} key="${current} ${dashboard.room?.protocolId}" ...${shared} />`
          : html`<${Waiting} dashboard=${dashboard} onSignOut=${onSignOut} />`}
      </main>
      <${PanelHost} ...${shared} />
    </div>
    ${action && html`<${ActionDialog} key=${action.key} action=${action} onClose=${() => close(action)} onRenew=${renew} />`}
    ${isRenewing && html`<${RenewalDialog} dashboard=${dashboard} onClose=${() => setRenewing(false)} />`}
    <${Shortcuts} ...${shared} />
    <${Notice} notice=${dashboard.notice} address=${address} />
  `;
}

/** A notice that is visible for a few seconds and read out by screen readers. */
function Notice({ notice, address }) {
  const [gone, setGone] = useState(0);
  useEffect(() => {
    const timer = setTimeout(() => setGone(notice?.id ?? 0), NOTICE_MS[notice?.tone] ?? 0);
    return () => clearTimeout(timer);
  }, [notice?.id]);
  const isSeen = notice && notice.id !== gone;
  return html`<div class="notice-place" role="status" aria-live="polite">
    ${isSeen &&
    html`<p class="notice tone-${notice.tone}">
      <span class="clamped" dir="auto">${notice.text}</span>
      ${notice.target && html`<a href=${address.href(notice.target)}>Open</a>`}
    </p>`}
  </div>`;
}
