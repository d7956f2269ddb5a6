import { LedgerRecords, PaymentRecords } from "../../money-records.js";
import { EntryTable } from "../money/entries.js";
import { ExportMenu } from "../money/export.js";
import { ListChoice, MoneyFilters } from "../money/filters.js";
import { PaymentTable } from "../money/payments.js";
import { PoolPanel } from "../pool.js";
import { html, useEffect, useMemo } from "../preact.js";

/** The owner's view: the pool over time, all payments and the whole ledger. */
export function Money({ dashboard, state, actions, address }) {
  const { session, ledger, now, room } = dashboard;
  const { list } = address.values;
  const failed = [...state.payments.values()].filter(({ status }) => status === "FAILED").length;
  const shared = { dashboard, state, actions, address };
  return html`<div class="money-view">
    <${PoolPanel} ...${{ pool: state.pool, ledger, actions, session, address, now }} />
    <section id="money" class="panel" aria-label="Payments and ledger">
      <header class="panel-head">
        <${ListChoice} ...${{ address, failed }} />
        <${ExportMenu} ...${{ dashboard, address, protocolId: room.protocolId, now }} />
      </header>
      <${MoneyFilters} ...${{ address, now }} />
      <${list === "ledger" ? Entries : Payments} key=${list} ...${shared} />
    </section>
  </div>`;
}

function Payments(shared) {
  const { paymentStatus: status, from, to } = shared.address.values;
  const filter = { status, from, to };
  const records = useRecords(PaymentRecords, filter, shared.dashboard);
  return html`<${List} Table=${PaymentTable} ...${{ records, filter, shared }} />`;
}

function Entries(shared) {
  const { changeType, from, to } = shared.address.values;
  const filter = { changeType, from, to };
  const records = useRecords(LedgerRecords, filter, shared.dashboard);
  return html`<${List} Table=${EntryTable} ...${{ records, filter, shared }} />`;
}

function List({ Table, records, filter, shared }) {
  const isFiltered = Object.values(filter).some((value) => value && value !== "ALL");
  return html`
    ${records.error && html`<p class="fault" role="alert">The list could not be read: ${records.error.message}</p>`}
    <${Table} ...${{ records, isFiltered, question: JSON.stringify(filter), ...shared }} />
  `;
}

/** The records that match the filter, kept up to date by the room's events while they are shown. */
function useRecords(Records, filter, dashboard) {
  const question = JSON.stringify(filter);
  const make = () => new Records(dashboard.api, dashboard.room.protocolId, filter, () => dashboard.redraw());
  const records = useMemo(make, [question, dashboard]);
  useEffect(() => {
    records.load();
    records.reconcile(dashboard.state);
    const stop = dashboard.listen((event) => (event ? records.apply(event) : records.reconcile(dashboard.state)));
    return () => {
      stop();
      records.close();
    };
  }, [records]);
  return records;
}
