/** @param {(webhook: object) => void} onSecret called with the webhook and its new secret, which only this answer holds */
export function rotateSecret(_, webhook, onSecret) {
  return {
    title: "Make a new secret?",
    submit: "Make a new secret",
    note: `Deliveries to ${webhook.url} are signed with both secrets for 24 hours: replace it at the receiver within that time.`,
    path: `/webhooks/${webhook.id}/rotate-secret`,
    done: (body) => {
      onSecret(body);
      return "The new secret is shown once, above.";
    },
  };
}

/** @param {() => void} onDeleted called after the webhook was deleted, since no event tells of it */
export function deleteWebhook(_, webhook, onDeleted) {
  return {
    title: "Delete this webhook?",
    submit: "Delete",
    isDangerous: true,
    method: "DELETE",
    note: `${webhook.url} gets nothing more, and its deliveries are deleted. This cannot be undone.`,
    path: `/webhooks/${webhook.id}`,
    done: () => {
      onDeleted();
      return "Deleted.";
    },
  };
}
