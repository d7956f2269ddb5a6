import { faults } from "./checks.js";

const reason = { name: "reason", label: "Reason", multiline: true, required: true, hint: "Kept in the audit log." };
const path = "/tokens/revoke";

/** @param {() => void} onRevoked called after the token was revoked, since no event tells of it */
export function revokeToken(_, token, onRevoked) {
  return {
    title: "Revoke this token?",
    submit: "Revoke",
    isDangerous: true,
    fields: [reason],
    note: `${token.sub}, ${token.role}. Requests with it are refused within a second, its connections end within five. This cannot be undone.`,
    check: (typed) => faults({ reason: !typed.reason && "Say why." }),
    body: (typed) => ({ jti: token.jti, expiresAt: token.expiresAt, reason: typed.reason }),
    path,
    done: () => said(onRevoked, `Revoked: the token of ${token.sub}.`),
  };
}

/** Tokens that were not issued here, such as those of `dashboard token`. */
export function revokeOther(_, onRevoked) {
  return {
    title: "Revoke tokens issued elsewhere",
    submit: "Revoke",
    isDangerous: true,
    fields: [
      { name: "jti", label: "Id of one token (jti)", hint: "Or, for all tokens of somebody:" },
      { name: "subject", label: "Name (sub)", hint: "All tokens issued to this name until now." },
      reason,
    ],
    check: (typed) => faults({ jti: Boolean(typed.jti) === Boolean(typed.subject) && "Name either a token or its bearer.", reason: !typed.reason && "Say why." }),
    path,
    done: ({ jti, subject }) => said(onRevoked, subject ? `Revoked: all tokens of ${subject}.` : `Revoked: the token ${jti}.`),
  };
}

function said(onRevoked, text) {
  onRevoked();
  return text;
}
