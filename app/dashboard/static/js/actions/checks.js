/** The faults among these, by field. */
export const faults = (all) => Object.fromEntries(Object.entries(all).filter(([, fault]) => fault));

/** Messages by the current status of a finding, if another user has decided first. */
export const DECIDED = {
  CONFIRMED: "Somebody confirmed it already.",
  REJECTED: "Somebody rejected it already.",
  PAID: "It is paid already.",
};
