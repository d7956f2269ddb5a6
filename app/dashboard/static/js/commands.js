/** Commands for a shell, with the real address and ids. Ids hold no character that a shell interprets. */

/** A token of this role, into the variable that the other commands use. */
export const tokenCommand = (role, protocolId) => `TOKEN=$(dashboard token --role ${role} --protocol ${protocolId})`;

export const depositCommand = (origin, protocolId) => `curl -X POST ${origin}/api/v1/protocols/${protocolId}/deposits \\
  -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \\
  -H "Idempotency-Key: $(uuidgen)" -d '{"amount": "1000.00", "reference": "first deposit"}'`;
