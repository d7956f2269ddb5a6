import { FindingDetail, newest } from "../../finding-detail.js";
import { actionsFor } from "../../finding-actions.js";
import { afterDecision, listed, neighbours } from "../../finding-order.js";
import { stateWords } from "../findings.js";
import { Markdown } from "../markdown.js";
import { html, useEffect, useMemo, useRef } from "../preact.js";
import { Facts, History } from "./finding-facts.js";
import { Icon, SidePanel } from "./host.js";
import { PaymentSection } from "./payment-section.js";

const UNSETTLED_MS = 5000; // how often a payment's attempts are read, which no event announces
const UNSETTLED = new Set(["PENDING", "PROCESSING"]);

/** `?finding=ID` and `?payment=ID`: a finding in full, with its payment, or with that one of its payments. */
export function FindingPanel({ id, name, dashboard, state, actions, address }) {
  const { finding, payment, history, error, isRead } = useFinding({ id, name, dashboard, state });
  const step = useSteps({ id: finding?.id ?? id, dashboard, address });
  const frame = { address, subject: id, returnTo: returnTo(name, id, finding), tools: html`<${Steps} ...${step} />` };
  if (!finding) return html`<${SidePanel} ...${frame} title=${name === "payment" ? "Payment" : "Finding"}><${Missing} ...${{ name, id, error }} /><//>`;
  if (finding.protocolId !== dashboard.room.protocolId) {
    return html`<${SidePanel} ...${frame} title=${finding.title}><${Elsewhere} ...${{ name, id, finding, dashboard, address }} /><//>`;
  }
  const offered = payment?.status === "CANCELLED" ? [] : actionsFor(finding, payment, dashboard.session);
  const foot = offered.length > 0 && html`<${Buttons} ...${{ offered, actions, finding, dashboard, address }} />`;
  const { severity, status, title, description, rejectionReason } = finding;
  const isUrgent = name === "payment" || (payment && payment.status !== "RELEASED" && Boolean(payment.lastError ?? payment.failureReason));
  const paymentSection = payment && html`<${PaymentSection} key="payment" ...${{ payment, finding, now: dashboard.now, address }} />`;
  return html`<${SidePanel} ...${frame} title=${title} foot=${foot} lead=${html`<${Marks} ...${{ severity, status, payment }} />`}>
    ${error && html`<p class="fault" role="alert">This may be out of date: ${error.message}</p>`}
    ${rejectionReason && html`<div class="callout"><strong>Rejected</strong><p dir="auto">${rejectionReason}</p></div>`}
    ${isUrgent && paymentSection}
    <${Facts} ...${{ finding, history, dashboard, address }} />
    <section aria-labelledby="panel-description">
      <h3 id="panel-description">Description</h3>
      ${description ? html`<${Markdown} text=${description} />` : html`<p class="soft">${isRead ? "None was given." : "Reading…"}</p>`}
    </section>
    ${!isUrgent && paymentSection}
    <${History} ...${{ history, isRead, currency: state.pool.currency }} />
  <//>`;
}
FindingPanel.isKept = true;

/** The finding, its payment and history: read once, kept up to date by events, and read again whenever one changed. */
function useFinding({ id, name, dashboard, state }) {
  const isPayment = name === "payment";
  const detail = useMemo(() => new FindingDetail(dashboard.api, isPayment ? { paymentId: id } : { id }, () => dashboard.redraw()), [dashboard, name, id]);
  const held = dashboard.findings.byId.get(isPayment ? detail.finding?.vulnerabilityId : id) ?? state.open.get(id);
  const finding = newest(detail.finding, held);
  const known = isPayment ? state.payments.get(id) : finding && dashboard.paymentOf(finding);
  const isOwn = isPayment || detail.payment?.id === finding?.paymentId;
  const payment = newest(isOwn ? detail.payment : null, known);
  const versions = [finding?.version, payment?.id, payment?.version, payment?.status].join(" ");
  const isUnsettled = UNSETTLED.has(payment?.status);
  useEffect(() => () => detail.close(), [detail]);
  useEffect(() => void detail.load(), [detail, versions]);
  useEffect(() => {
    const timer = isUnsettled && setInterval(() => document.hidden || dashboard.isStale || detail.load(), UNSETTLED_MS);
    return () => clearInterval(timer);
  }, [detail, isUnsettled]);
  return { finding, payment, history: detail.history, error: detail.error, isRead: detail.finding !== null };
}

/** The neighbours in the list of the view. */
function useSteps({ id, dashboard, address }) {
  const last = useRef(-1);
  const ids = listed(dashboard, address.values).map((each) => each.id);
  const around = neighbours(ids, id, last.current);
  if (around.position >= 0) last.current = around.position;
  return { ...around, go: (finding) => address.go({ finding }) };
}

function Steps({ position, count, previous, next, go }) {
  return html`${position >= 0 && html`<span class="hint">${position + 1} of ${count}</span>`}
    <${Step} label="Previous finding" shape="M4 12l6-6 6 6" ...${{ keyName: "k", id: previous, go }} />
    <${Step} label="Next finding" shape="M4 8l6 6 6-6" ...${{ keyName: "j", id: next, go }} />`;
}

const Step = ({ label, shape, keyName, id, go }) => html`<button class="quiet" aria-disabled=${String(!id)} aria-keyshortcuts=${keyName} onClick=${() => id && go(id)} aria-label=${label} title="${label} (${keyName})">
  <${Icon} shape=${shape} />
</button>`;

function Marks({ severity, status, payment }) {
  const hasFailed = status === "CONFIRMED" && payment?.status === "FAILED";
  return html`<p>
    <span class="severity severity-${severity}">${severity.toLowerCase()}</span> ${" "}
    <span class="state state-${hasFailed ? "FAILED" : status}">${stateWords(status, payment)}</span>
  </p>`;
}

function Buttons({ offered, actions, finding, dashboard, address }) {
  const run = (action) => {
    const next = address.values.view === "queue" && afterDecision(dashboard.findings, finding.id);
    action.run(actions, { afterwards: next ? () => address.go({ finding: next() }) : undefined });
  };
  return offered.map((action) => {
    const { name, label, about = label, key, isGood } = action;
    const hint = key && `${label} (${key})`;
    return html`<button key=${name} class=${isGood ? "primary" : ""} title=${hint} aria-keyshortcuts=${key} aria-label="${about}: ${finding.title}" onClick=${() => run(action)}>${about}</button>`;
  });
}

function Missing({ name, id, error }) {
  const what = name === "payment" ? "payment" : "finding";
  if (!error) return html`<p class="none" role="status">Reading…</p>`;
  if (error.status !== 404) return html`<p class="fault" role="alert">The ${what} could not be read: ${error.message}</p>`;
  return html`<p class="none" role="alert">There is no ${what} <code>${id}</code>, or it belongs to a protocol that your token does not grant.</p>`;
}

function Elsewhere({ name, id, finding, dashboard, address }) {
  const { protocolId } = finding;
  const protocol = dashboard.protocols.find((each) => each.id === protocolId);
  return html`<p class="none">It belongs to another protocol, “${protocol?.name ?? protocolId}”.</p>
    <p><a class="button" href=${address.href({ protocol: protocolId, [name]: id })}>Show it there</a></p>`;
}

/** The row from which the panel was opened, or where its finding is now. */
function returnTo(name, id, finding) {
  const row = finding && `[data-finding="${CSS.escape(finding.id)}"] a`;
  return name === "payment" ? `[data-payment="${CSS.escape(id)}"] a, ${row ?? "#none"}` : row;
}
