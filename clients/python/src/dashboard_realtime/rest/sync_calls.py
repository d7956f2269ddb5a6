"""The typed calls of the synchronous client.

Made from the OpenAPI document by `make docs`: do not edit.
"""

from abc import abstractmethod
from typing import Any, Literal

from dashboard_realtime.rest import operations, types
from dashboard_realtime.rest.pages import Pages
from dashboard_realtime.rest.requests import Amount, Moment, Operation, Result


class SyncCalls:
    @abstractmethod
    def call(self, operation: Operation[Result], **request: Any) -> Result: ...

    @abstractmethod
    def _pages(self, operation: Operation[Result], **request: Any) -> Pages[Result]: ...

    def asyncapi(self) -> types.JsonObject:
        """Read the document of the Socket.IO API.

        AsyncAPI 3.0: events, acknowledgements and errors.
        """
        return self.call(operations.ASYNCAPI)

    def cancel_payment(self, payment_id: str, *, idempotency_key: str | None = None) -> types.Payment:
        """Cancel a failed payment.

        A FAILED payment becomes CANCELLED and its reservation is released: the room receives
        `bounty_pool:updated` with RESERVATION_RELEASED, then `payment:status_changed`. The vulnerability stays
        CONFIRMED without a `paymentId`, and may be paid anew with an `amount`. Refused if the outcome of an
        attempt is unknown (`mayBePaid`). With an `Idempotency-Key`, a request that is sent twice has its effect
        once. Roles: owner, admin.
        """
        return self.call(operations.CANCEL_PAYMENT, path={"paymentId": payment_id}, idempotency_key=idempotency_key)

    def confirm_vulnerability(
        self, vulnerability_id: str, *, bounty: Amount | None = None, idempotency_key: str | None = None
    ) -> types.Vulnerability:
        """Confirm a vulnerability.

        PENDING → CONFIRMED; the room receives `vuln:status_changed`. A `bounty` is reserved when none was
        reserved at filing. With an `Idempotency-Key`, a request that is sent twice has its effect once. Roles:
        validator, admin.
        """
        return self.call(
            operations.CONFIRM_VULNERABILITY,
            path={"vulnerabilityId": vulnerability_id},
            body={"bounty": bounty},
            idempotency_key=idempotency_key,
        )

    def create_agent(
        self, *, name: str, type: Literal["PROTOCOL", "RESEARCHER", "VALIDATOR"], id: str | None = None
    ) -> types.Agent:
        """Create an agent.

        The agent reports with a token whose `sub` is its id. Roles: admin.
        """
        return self.call(operations.CREATE_AGENT, body={"id": id, "name": name, "type": type})

    def create_deposit(
        self, protocol_id: str, *, amount: Amount, reference: str | None = None, idempotency_key: str | None = None
    ) -> types.Deposit:
        """Deposit funds.

        The room receives `bounty_pool:updated` with DEPOSIT. With an `Idempotency-Key`, a request that is sent
        twice has its effect once. Roles: owner, admin.
        """
        return self.call(
            operations.CREATE_DEPOSIT,
            path={"protocolId": protocol_id},
            body={"amount": amount, "reference": reference},
            idempotency_key=idempotency_key,
        )

    def create_protocol(self, *, name: str, id: str | None = None, currency: str | None = None) -> types.Protocol:
        """Create a protocol.

        The protocol gets an empty bounty pool and a room. Roles: admin.
        """
        return self.call(operations.CREATE_PROTOCOL, body={"id": id, "name": name, "currency": currency})

    def create_stream_ticket(self, protocol_id: str) -> types.StreamTicket:
        """Get a ticket to open the protocol's stream.

        For clients that cannot send headers. It is good once and for 30 seconds, at any web process. The stream
        ends when the token with which the ticket was made expires or is revoked. Roles: all.
        """
        return self.call(operations.CREATE_STREAM_TICKET, path={"protocolId": protocol_id})

    def create_webhook(
        self,
        protocol_id: str,
        *,
        url: str,
        event_types: list[
            Literal[
                "bounty_pool:updated",
                "vuln:discovered",
                "vuln:status_changed",
                "payment:status_changed",
                "agent:task_update",
                "*",
            ]
        ],
        severities: list[Literal["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"]] | None = None,
        description: str | None = None,
        idempotency_key: str | None = None,
    ) -> types.NewWebhook:
        """Create a webhook.

        From now on the protocol's stored events are POSTed to the URL, signed as [Standard
        Webhooks](https://www.standardwebhooks.com) says. The response is the only place that shows the secret.
        A protocol has at most 20 webhooks. With an `Idempotency-Key`, a request that is sent twice has its
        effect once. Roles: owner, admin.
        """
        return self.call(
            operations.CREATE_WEBHOOK,
            path={"protocolId": protocol_id},
            body={"url": url, "eventTypes": event_types, "severities": severities, "description": description},
            idempotency_key=idempotency_key,
        )

    def delete_webhook(self, webhook_id: str) -> None:
        """Delete a webhook.

        With its deliveries; nothing more is sent, besides attempts that are running. Roles: owner, admin.
        """
        return self.call(operations.DELETE_WEBHOOK, path={"webhookId": webhook_id})

    def disable_webhook(self, webhook_id: str, *, idempotency_key: str | None = None) -> types.Webhook:
        """Disable a webhook.

        Pending deliveries wait until it is enabled; new events are not kept for it. With an `Idempotency-Key`,
        a request that is sent twice has its effect once. Roles: owner, admin.
        """
        return self.call(operations.DISABLE_WEBHOOK, path={"webhookId": webhook_id}, idempotency_key=idempotency_key)

    def enable_webhook(self, webhook_id: str, *, idempotency_key: str | None = None) -> types.Webhook:
        """Enable a webhook.

        Deliveries that were pending when it was disabled are sent now. Events in between were not kept for it.
        With an `Idempotency-Key`, a request that is sent twice has its effect once. Roles: owner, admin.
        """
        return self.call(operations.ENABLE_WEBHOOK, path={"webhookId": webhook_id}, idempotency_key=idempotency_key)

    def file_vulnerability(
        self,
        protocol_id: str,
        *,
        title: str,
        severity: Literal["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"],
        bounty: Amount | None = None,
        agent_id: str | None = None,
        description: str | None = None,
        idempotency_key: str | None = None,
    ) -> types.Vulnerability:
        """File a vulnerability.

        The room receives `vuln:discovered`. With a `bounty` the amount is reserved, and `bounty_pool:updated`
        with RESERVATION follows; when it cannot be reserved, nothing is stored. With an `Idempotency-Key`, a
        request that is sent twice has its effect once. Roles: agent, validator, admin (an agent only for
        itself).
        """
        return self.call(
            operations.FILE_VULNERABILITY,
            path={"protocolId": protocol_id},
            body={
                "title": title,
                "severity": severity,
                "bounty": bounty,
                "agentId": agent_id,
                "description": description,
            },
            idempotency_key=idempotency_key,
        )

    def get_agent(self, agent_id: str) -> types.Agent:
        """Read an agent with its current task.

        An agent is OFFLINE after 120 seconds without a report. Roles: all.
        """
        return self.call(operations.GET_AGENT, path={"agentId": agent_id})

    def get_history(
        self, vulnerability_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Pages[types.HistoryItem]:
        """Read the history of a vulnerability, oldest first.

        Its filing and decision, and each change of its payments: who did it and when. Request the next page
        with `cursor` set to `nextCursor` of this one. Roles: all.
        """
        return self._pages(
            operations.GET_HISTORY, path={"vulnerabilityId": vulnerability_id}, query={"limit": limit, "cursor": cursor}
        )

    def get_overview(self, *, limit: int | None = None, cursor: str | None = None) -> Pages[types.Overview]:
        """Read the protocols that the token grants at a glance.

        Those that need attention come first: by the number of failed payments, then of open critical
        vulnerabilities, then of pending ones, then of confirmed ones that are not paid; then by id. While these
        numbers change, a protocol may move from one page to another. Request the next page with `cursor` set to
        `nextCursor` of this one. Roles: all.
        """
        return self._pages(operations.GET_OVERVIEW, query={"limit": limit, "cursor": cursor})

    def get_payment(self, payment_id: str) -> types.Payment:
        """Read a payment.

        A FAILED payment has a `failureReason` and keeps its reservation until it is retried and paid, or
        cancelled. Roles: all.
        """
        return self.call(operations.GET_PAYMENT, path={"paymentId": payment_id})

    def get_pool(self, protocol_id: str) -> types.Pool:
        """Read the bounty pool.

        `available` is `total - reserved - paid`, and never negative. Roles: all.
        """
        return self.call(operations.GET_POOL, path={"protocolId": protocol_id})

    def get_protocol(self, protocol_id: str) -> types.Protocol:
        """Read a protocol.

        A protocol that the token does not grant is answered as one that does not exist. Roles: all.
        """
        return self.call(operations.GET_PROTOCOL, path={"protocolId": protocol_id})

    def get_state(self, protocol_id: str, *, agent_batches: bool | None = None) -> types.State:
        """Read a snapshot of the protocol.

        Join the room first, then fetch this, then apply newer events: those with a higher `seq` and, for each
        object, a higher `version`. So no change is missed or applied twice. Roles: all.
        """
        return self.call(operations.GET_STATE, path={"protocolId": protocol_id}, query={"agentBatches": agent_batches})

    def get_stats(self, *, protocol_id: str | None = None) -> types.Stats:
        """Read totals of one protocol, or of all that the token grants.

        Amounts of different currencies are never added up: `byCurrency` has one item for each. Roles: all.
        """
        return self.call(operations.GET_STATS, query={"protocolId": protocol_id})

    def get_vulnerability(self, vulnerability_id: str) -> types.Vulnerability:
        """Read a vulnerability.

        A vulnerability of a protocol that the token does not grant is answered as one that does not exist.
        Roles: all.
        """
        return self.call(operations.GET_VULNERABILITY, path={"vulnerabilityId": vulnerability_id})

    def get_webhook(self, webhook_id: str) -> types.Webhook:
        """Read a webhook.

        A DISABLED one says why in `disabledReason`. Roles: owner, admin.
        """
        return self.call(operations.GET_WEBHOOK, path={"webhookId": webhook_id})

    def healthz(self) -> types.Health:
        """Check that the process runs.

        Succeeds as long as the process serves requests, even if a dependency is down.
        """
        return self.call(operations.HEALTHZ)

    def issue_token(
        self,
        *,
        sub: str,
        role: Literal["agent", "viewer", "validator", "owner", "admin"],
        protocols: list[str],
        ttl: int,
    ) -> types.NewToken:
        """Issue a token.

        The response is the only place that shows it. Its protocols must exist. Where an identity provider signs
        the tokens the request is refused with TOKENS_ISSUED_ELSEWHERE; with CONFLICT within seconds after all
        tokens of its subject were revoked. Roles: admin.
        """
        return self.call(operations.ISSUE_TOKEN, body={"sub": sub, "role": role, "protocols": protocols, "ttl": ttl})

    def list_agents(
        self, *, limit: int | None = None, cursor: str | None = None, protocol_id: str | None = None
    ) -> Pages[types.Agent]:
        """List agents with their current tasks.

        Sorted by id. A current task is included only if the token names its protocol. With `protocolId`: only
        agents whose last stored task belongs to that protocol. Request the next page with `cursor` set to
        `nextCursor` of this one. Roles: all.
        """
        return self._pages(operations.LIST_AGENTS, query={"limit": limit, "cursor": cursor, "protocolId": protocol_id})

    def list_audit(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        protocol_id: str | None = None,
        subject: str | None = None,
        action: Literal[
            "DEPOSIT",
            "VULNERABILITY_FILED",
            "VULNERABILITY_CONFIRMED",
            "VULNERABILITY_REJECTED",
            "PAYMENT_REQUESTED",
            "PAYMENT_RETRIED",
            "PAYMENT_RELEASED",
            "PAYMENT_FAILED",
            "PAYMENT_CANCELLED",
            "TOKEN_ISSUED",
            "TOKEN_REVOKED",
            "WEBHOOK_CREATED",
            "WEBHOOK_DELETED",
            "WEBHOOK_ENABLED",
            "WEBHOOK_DISABLED",
            "WEBHOOK_SECRET_ROTATED",
            "WEBHOOK_TESTED",
            "WEBHOOK_REDELIVERED",
        ]
        | None = None,
    ) -> Pages[types.AuditEntry]:
        """List the audit log, newest first.

        Actions on money, vulnerabilities and tokens, with their callers; entries are never changed. Request the
        next page with `cursor` set to `nextCursor` of this one. Roles: admin.
        """
        return self._pages(
            operations.LIST_AUDIT,
            query={"limit": limit, "cursor": cursor, "protocolId": protocol_id, "subject": subject, "action": action},
        )

    def list_deliveries(
        self,
        webhook_id: str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        status: Literal["PENDING", "SUCCEEDED", "FAILED"] | None = None,
    ) -> Pages[types.WebhookDelivery]:
        """List a webhook's deliveries, newest first.

        Each with its attempts. Finished ones are kept for 30 days, the newest 10,000 of a webhook. Request the
        next page with `cursor` set to `nextCursor` of this one. Roles: owner, admin.
        """
        return self._pages(
            operations.LIST_DELIVERIES,
            path={"webhookId": webhook_id},
            query={"limit": limit, "cursor": cursor, "status": status},
        )

    def list_entries(
        self,
        protocol_id: str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        from_: str | None = None,
        to: str | None = None,
        change_type: Literal["DEPOSIT", "RESERVATION", "RESERVATION_RELEASED", "PAYMENT_RELEASED"] | None = None,
    ) -> Pages[types.LedgerEntry]:
        """List the pool's ledger, newest first.

        Each entry carries the pool's totals after it; entries are never changed. With `Accept: text/csv` the
        whole selection as CSV. Request the next page with `cursor` set to `nextCursor` of this one. Roles: all.
        """
        return self._pages(
            operations.LIST_ENTRIES,
            path={"protocolId": protocol_id},
            query={"limit": limit, "cursor": cursor, "from": from_, "to": to, "changeType": change_type},
        )

    def list_issued(
        self, *, limit: int | None = None, cursor: str | None = None, sub: str | None = None
    ) -> Pages[types.IssuedToken]:
        """List the issued tokens, newest first.

        Those issued by `POST /tokens` that have not expired for a day; never the tokens themselves. Request the
        next page with `cursor` set to `nextCursor` of this one. Roles: admin.
        """
        return self._pages(operations.LIST_ISSUED, query={"limit": limit, "cursor": cursor, "sub": sub})

    def list_payments(
        self,
        protocol_id: str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        from_: str | None = None,
        to: str | None = None,
        status: Literal["PENDING", "PROCESSING", "RELEASED", "FAILED", "CANCELLED"] | None = None,
    ) -> Pages[types.Payment]:
        """List payments.

        Newest first; `from` and `to` compare `createdAt`. With `Accept: text/csv` the whole selection as CSV.
        Request the next page with `cursor` set to `nextCursor` of this one. Roles: all.
        """
        return self._pages(
            operations.LIST_PAYMENTS,
            path={"protocolId": protocol_id},
            query={"limit": limit, "cursor": cursor, "from": from_, "to": to, "status": status},
        )

    def list_protocols(self, *, limit: int | None = None, cursor: str | None = None) -> Pages[types.Protocol]:
        """List the protocols that the token grants.

        Ordered by id. Request the next page with `cursor` set to `nextCursor` of this one. Roles: all.
        """
        return self._pages(operations.LIST_PROTOCOLS, query={"limit": limit, "cursor": cursor})

    def list_revoked(self, *, limit: int | None = None, cursor: str | None = None) -> Pages[types.RevokedToken]:
        """List the revoked tokens, newest first.

        Each is one token by its `jti`, or all tokens of a subject until then. Request the next page with
        `cursor` set to `nextCursor` of this one. Roles: admin.
        """
        return self._pages(operations.LIST_REVOKED, query={"limit": limit, "cursor": cursor})

    def list_tasks(
        self, agent_id: str, *, limit: int | None = None, cursor: str | None = None, closed: bool | None = None
    ) -> Pages[types.Task]:
        """List the tasks of an agent.

        In queue order, closed ones of the last 90 days included; only tasks of protocols that the token names.
        Request the next page with `cursor` set to `nextCursor` of this one. Roles: all.
        """
        return self._pages(
            operations.LIST_TASKS,
            path={"agentId": agent_id},
            query={"limit": limit, "cursor": cursor, "closed": closed},
        )

    def list_vulnerabilities(
        self,
        protocol_id: str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        from_: str | None = None,
        to: str | None = None,
        status: Literal["PENDING", "CONFIRMED", "REJECTED", "PAID"] | None = None,
        severity: Literal["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"] | None = None,
        reserved: bool | None = None,
        sort: Literal["date", "severity"] | None = None,
    ) -> Pages[types.Vulnerability]:
        """List vulnerabilities.

        Filtered by status, severity, reservation and date of filing, ordered by date or severity. With `Accept:
        text/csv` the whole selection as CSV. Request the next page with `cursor` set to `nextCursor` of this
        one. Roles: all.
        """
        return self._pages(
            operations.LIST_VULNERABILITIES,
            path={"protocolId": protocol_id},
            query={
                "limit": limit,
                "cursor": cursor,
                "from": from_,
                "to": to,
                "status": status,
                "severity": severity,
                "reserved": reserved,
                "sort": sort,
            },
        )

    def list_webhooks(
        self, protocol_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Pages[types.Webhook]:
        """List a protocol's webhooks, newest first.

        Without their secrets. Request the next page with `cursor` set to `nextCursor` of this one. Roles:
        owner, admin.
        """
        return self._pages(
            operations.LIST_WEBHOOKS, path={"protocolId": protocol_id}, query={"limit": limit, "cursor": cursor}
        )

    def openapi(self) -> types.JsonObject:
        """Read this document.

        OpenAPI 3.1, generated from the schemas that validate requests.
        """
        return self.call(operations.OPENAPI)

    def prometheus(self) -> str:
        """Read the metrics.

        Metrics in the text format of Prometheus.
        """
        return self.call(operations.PROMETHEUS)

    def queue_task(
        self, agent_id: str, *, protocol_id: str, name: str, idempotency_key: str | None = None
    ) -> types.Task:
        """Append a task to the agent's queue.

        The agent starts the first task of its queue when it completes a task. With an `Idempotency-Key`, a
        request that is sent twice has its effect once. Roles: agent, admin (an agent only for itself).
        """
        return self.call(
            operations.QUEUE_TASK,
            path={"agentId": agent_id},
            body={"protocolId": protocol_id, "name": name},
            idempotency_key=idempotency_key,
        )

    def readyz(self) -> types.Readiness:
        """Check that the dependencies answer.

        Checks the database, Redis and the message queue; for load balancers.
        """
        return self.call(operations.READYZ)

    def redeliver(self, delivery_id: str, *, idempotency_key: str | None = None) -> types.WebhookDelivery:
        """Deliver again.

        The same body with the same `webhook-id`, with all attempts of the schedule. One that waits for its next
        attempt is attempted now. With an `Idempotency-Key`, a request that is sent twice has its effect once.
        Roles: owner, admin.
        """
        return self.call(operations.REDELIVER, path={"deliveryId": delivery_id}, idempotency_key=idempotency_key)

    def reject_vulnerability(
        self, vulnerability_id: str, *, reason: str, idempotency_key: str | None = None
    ) -> types.Vulnerability:
        """Reject a vulnerability.

        PENDING → REJECTED; the room receives `vuln:status_changed`, and a reservation is released. With an
        `Idempotency-Key`, a request that is sent twice has its effect once. Roles: validator, admin.
        """
        return self.call(
            operations.REJECT_VULNERABILITY,
            path={"vulnerabilityId": vulnerability_id},
            body={"reason": reason},
            idempotency_key=idempotency_key,
        )

    def report_batch(
        self, *, updates: list[types.BatchUpdate], idempotency_key: str | None = None
    ) -> types.BatchAnswer:
        """Report the progress of many agents at once.

        Each update is validated separately: `rejected` lists errors by index, and the other updates are
        accepted. A batch is one request for its `Idempotency-Key`. The token is charged one request for each
        task that the batch starts or ends, and at least one. Only the newest of an agent's RUNNING updates in a
        batch takes effect. With an `Idempotency-Key`, a request that is sent twice has its effect once. Roles:
        agent, admin (an agent only for itself).
        """
        return self.call(operations.REPORT_BATCH, body={"updates": updates}, idempotency_key=idempotency_key)

    def report_progress(
        self,
        agent_id: str,
        *,
        protocol_id: str,
        task: str,
        progress: float | None = None,
        status: Literal["RUNNING", "COMPLETED", "FAILED"] | None = None,
        estimated_completion: Moment | None = None,
        error: str | types.TaskError | None = None,
        next_task: str | None = None,
        idempotency_key: str | None = None,
    ) -> types.Accepted:
        """Report the progress of an agent's task.

        The response is sent before the event. An agent causes at most one event a second, and the newest
        RUNNING report replaces older ones. COMPLETED and FAILED are stored before the response and always
        become separate events. With an `Idempotency-Key`, a request that is sent twice has its effect once.
        Roles: agent, admin (an agent only for itself).
        """
        return self.call(
            operations.REPORT_PROGRESS,
            path={"agentId": agent_id},
            body={
                "protocolId": protocol_id,
                "task": task,
                "progress": progress,
                "status": status,
                "estimatedCompletion": estimated_completion,
                "error": error,
                "nextTask": next_task,
            },
            idempotency_key=idempotency_key,
        )

    def request_payment(
        self, vulnerability_id: str, *, recipient: str, amount: Amount | None = None, idempotency_key: str | None = None
    ) -> types.Payment:
        """Release the payment of a confirmed vulnerability.

        Accepted, then paid in the background: the room receives `payment:status_changed` with PENDING now, and
        later `bounty_pool:updated` with PAYMENT_RELEASED, `payment:status_changed` with RELEASED and
        `vuln:status_changed` with PAID; or `payment:status_changed` with FAILED. Without `amount` the whole
        reserved bounty is paid; a smaller amount returns the rest to the pool. The pool is charged exactly
        once. With an `Idempotency-Key`, a request that is sent twice has its effect once. Roles: owner, admin.
        """
        return self.call(
            operations.REQUEST_PAYMENT,
            path={"vulnerabilityId": vulnerability_id},
            body={"recipient": recipient, "amount": amount},
            idempotency_key=idempotency_key,
        )

    def retry_payment(
        self, payment_id: str, *, recipient: str | None = None, idempotency_key: str | None = None
    ) -> types.Payment:
        """Retry a failed payment.

        A FAILED payment returns to PENDING, to another recipient if one is given; the room receives
        `payment:status_changed`. If the outcome of an attempt is unknown (`mayBePaid`), the recipient cannot be
        changed. With an `Idempotency-Key`, a request that is sent twice has its effect once. Roles: owner,
        admin.
        """
        return self.call(
            operations.RETRY_PAYMENT,
            path={"paymentId": payment_id},
            body={"recipient": recipient},
            idempotency_key=idempotency_key,
        )

    def revoke_token(
        self, *, reason: str, jti: str | None = None, subject: str | None = None, expires_at: Moment | None = None
    ) -> types.RevokedToken:
        """Revoke a token, or all tokens of a subject.

        Name one token by its `jti`, or a `subject` to revoke all tokens issued to it until now. Roles: admin.
        """
        return self.call(
            operations.REVOKE_TOKEN, body={"jti": jti, "subject": subject, "reason": reason, "expiresAt": expires_at}
        )

    def rotate_secret(self, webhook_id: str, *, idempotency_key: str | None = None) -> types.NewWebhook:
        """Rotate a webhook's secret.

        The response is the only place that shows the new secret. For 24 hours deliveries carry a signature of
        each: replace the secret at the receiver within that time. With an `Idempotency-Key`, a request that is
        sent twice has its effect once. Roles: owner, admin.
        """
        return self.call(operations.ROTATE_SECRET, path={"webhookId": webhook_id}, idempotency_key=idempotency_key)

    def send_test(self, webhook_id: str, *, idempotency_key: str | None = None) -> types.WebhookDelivery:
        """Send a test event.

        A delivery of type `webhook:test`, whatever the webhook's filters. Its outcome is in the list of
        deliveries. With an `Idempotency-Key`, a request that is sent twice has its effect once. Roles: owner,
        admin.
        """
        return self.call(operations.SEND_TEST, path={"webhookId": webhook_id}, idempotency_key=idempotency_key)
