/** Commands to copy into a terminal, with the ids of what is shown. `$TOKEN` is the reader's own token. */

const post = (path, body) =>
  `curl -X POST ${globalThis.location.origin}/api/v1${path} -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '${JSON.stringify(body)}'`;

export const reportCommand = (agentId, protocolId) => post(`/agents/${agentId}/progress`, { protocolId, task: "First scan", progress: 10 });

export const fileCommand = (protocolId, agentId) =>
  post(`/protocols/${protocolId}/vulnerabilities`, { title: "Reentrancy in withdraw()", severity: "HIGH", ...(agentId && { agentId }) });

export const depositCommand = (protocolId) => post(`/protocols/${protocolId}/deposits`, { amount: "1000.00" });

export const tokenCommand = (role, protocolId, subject) => `dashboard token --role ${role}${subject ? ` --sub ${subject}` : ""} --protocol ${protocolId}`;
