const CONFIRM = { name: "confirm", label: "Confirm", key: "c", isGood: true };
const REJECT = { name: "reject", label: "Reject", key: "r" };
const PAY = { name: "pay", label: "Pay", isGood: true };
const RETRY = { name: "retry", label: "Retry", about: "Retry payment", isGood: true };
const CANCEL = { name: "cancelPayment", label: "Cancel", about: "Cancel payment" };

/**
 * What this user may do with a finding now. Each is `{name, label, about?, key?, isGood?, run(actions, options)}`: `name`
 * of the action, `about` for screen readers, `key` of the keyboard; `options.afterwards()` is called after success.
 *
 * A finding with a payment is never offered "Pay", whether or not that payment is known here yet.
 */
export function actionsFor(finding, payment, session) {
  const offer = (subject, ...offered) => offered.map((each) => ({ ...each, run: (actions, options) => actions[each.name](subject, options) }));
  if (finding.status === "PENDING" && session.may("validator")) return offer(finding, CONFIRM, REJECT);
  if (finding.status !== "CONFIRMED" || !session.may("owner")) return [];
  if (payment?.status === "FAILED") return offer(payment, RETRY, ...(payment.mayBePaid ? [] : [CANCEL]));
  const isPaid = finding.paymentId || (payment && payment.status !== "CANCELLED");
  return isPaid ? [] : offer(finding, PAY);
}
