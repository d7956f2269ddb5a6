"""The short way of the requests that come by the thousand: plain RUNNING reports, one or a batch.

What is valid beyond doubt is taken here, without Flask: checked by a compiled schema, offered in one Redis round trip.
Anything else (a closing report, an agent not seen yet, a fault of any kind) goes on to Flask untouched, so that there
is one place for rules and errors: `schemas.ProgressReport`. A test proves that both ways agree.
"""

import io
import logging
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import redis
from flask import Flask

from app.agents import compiled_reports, progress
from app.agents.compiled_reports import AGENTS, BATCH, PROGRESS, Reports
from app.agents.progress import Start
from app.auth.authorization import budget_key
from app.auth.permissions import Action, Role, allows
from app.auth.tokens import Principal
from app.core.errors import DomainError
from app.http.headers import HEADERS, NO_STORE, STRICT_TRANSPORT
from app.http.rate_limits import address_key, rate_limit
from app.observability import metrics
from app.observability.requests import REQUEST_ID_HEADER, request_id
from app.realtime import coalescer

logger = logging.getLogger(__name__)

MAX_BODY = 512 * 1024

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Headers = list[tuple[str, str]]
Answer = tuple[bytes, Headers]

_FIXED: Headers = [("Content-Type", "application/json"), NO_STORE, *HEADERS.items()]

_accepted = metrics.PROGRESS_ACCEPTED.labels("RUNNING")
_counted = {
    False: metrics.HTTP_REQUESTS.labels("POST", AGENTS + "<string:agent_id>" + PROGRESS, "202"),
    True: metrics.HTTP_REQUESTS.labels("POST", BATCH, "202"),
}


class ProgressFastPath:
    """WSGI: takes what it can, hands on the rest."""

    def __init__(self, app: Flask, onward: Callable[..., Any]) -> None:
        self._app = app
        self._onward = onward

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"].endswith(PROGRESS):
            answer = self._take_if_plain(environ)
            if answer is not None:
                body, headers = answer
                start_response("202 ACCEPTED", headers)
                return [body]
        onward: Iterable[bytes] = self._onward(environ, start_response)
        return onward

    def _take_if_plain(self, environ: Environ) -> Answer | None:
        """None leaves the request to Flask, with its body as it came: also when this way fails, which is logged."""
        given = environ.get("HTTP_X_REQUEST_ID", "")
        try:
            return self._take(environ, given)
        except Exception:
            environ["HTTP_X_REQUEST_ID"] = request_id(given)  # Flask's side tells and logs the same
            logger.exception("ingest.short_way_failed", extra={"requestId": environ["HTTP_X_REQUEST_ID"]})
            return None

    def _take(self, environ: Environ, given_id: str) -> Answer | None:
        principal = self._caller(environ)
        body = _body(environ) if principal else None
        if principal is None or body is None:
            return None
        path: str = environ["PATH_INFO"]
        reports = compiled_reports.batch(body) if path == BATCH else compiled_reports.single(body, path)
        if not reports or not self._may_report(principal, reports):
            return None
        left = self._spend(environ, principal)
        if left is None or not self._offer(list(dict(reports).items()), principal, given_id):
            return None
        _accepted.inc(len(reports))
        _counted[path == BATCH].inc()
        rejected = b',"rejected":[]' if path == BATCH else b""
        answer = b'{"accepted":"%d"%s}\n' % (len(reports), rejected)
        return answer, self._headers(environ, len(answer), left, given_id)

    def _caller(self, environ: Environ) -> Principal | None:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or "HTTP_ORIGIN" in environ or "HTTP_IDEMPOTENCY_KEY" in environ:
            return None  # a browser's cross-origin call needs headers that Flask's side adds; a key is stored there
        try:
            principal: Principal = self._app.extensions["token_verifier"].verify(token.strip())
        except DomainError:
            return None
        revocations = self._app.extensions["revocations"]
        may_be_revoked = not revocations.is_loaded or revocations.covers(principal)
        return None if may_be_revoked or not allows(principal.role, Action.REPORT_PROGRESS) else principal

    def _may_report(self, principal: Principal, reports: Reports) -> bool:
        """Everything told of is known here, granted, and the agent's own."""
        known = self._app.extensions["known_ids"]
        agents, protocols = known["agent"], known["protocol"]
        is_agent = principal.role is Role.AGENT
        for agent_id, report in reports:
            if is_agent and agent_id != principal.subject:
                return False
            if agent_id not in agents or report.protocol_id not in protocols or not principal.sees(report.protocol_id):
                return False
            if not compiled_reports.is_plain(report):
                return False
        return True

    def _spend(self, environ: Environ, principal: Principal) -> str | None:
        """One request of the caller's budgets; the one nearest to its end as `RateLimit` tells it, None if one was."""
        limits = self._app.extensions["limits"]
        token = limits.token.take(budget_key(principal))
        address = limits.address.take(address_key(environ.get("REMOTE_ADDR", "")))
        if token is None or address is None:
            return None
        return rate_limit("token", token) if token < address else rate_limit("address", address)

    def _offer(self, reports: Reports, principal: Principal, given_id: str) -> bool:
        """Take the newest report of each agent. False when Redis failed: Flask's side tries again and tells."""
        offers = [
            coalescer.RunningReport(
                agent_id, report.protocol_id, report.task, compiled_reports.event_json(agent_id, report)
            )
            for agent_id, report in reports
        ]
        try:
            accepted = coalescer.report(offers, self._app.extensions["redis_multiplexer"])
        except redis.RedisError as error:
            logger.warning("ingest.short_way_failed", extra={"reports": len(reports), "error": str(error)})
            return False
        starts = [
            Start(agent_id, report.protocol_id, _data(agent_id, report), each.version)
            for (agent_id, report), each in zip(reports, accepted, strict=True)
            if each.is_new_task
        ]
        if starts:
            self._store_starts(starts, principal, given_id)
        return True

    def _store_starts(self, starts: list[Start], principal: Principal, given_id: str) -> None:
        """Keep that agents turned to these tasks. The reports are accepted by now: whatever fails here is logged."""
        try:
            with self._app.app_context():
                changes = progress.store_starts(starts)
        except Exception:
            agent_ids = [start.agent_id for start in starts]
            told = {"agentIds": agent_ids, "requestId": request_id(given_id)}
            logger.exception("task_start.not_stored", extra=told)
            return
        if changes > 1:
            self._app.extensions["limits"].token.charge(budget_key(principal), changes - 1)

    def _headers(self, environ: Environ, length: int, left: str, given_id: str) -> Headers:
        headers = [
            *_FIXED,
            ("Content-Length", str(length)),
            ("RateLimit-Policy", self._app.extensions["limits"].policy),
            ("RateLimit", left),
            (REQUEST_ID_HEADER, request_id(given_id)),
        ]
        if environ.get("wsgi.url_scheme") == "https":
            headers.append(STRICT_TRANSPORT)
        return headers


def _data(agent_id: str, report: compiled_reports.Report) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.json.decode(compiled_reports.event_json(agent_id, report) + "}")
    return data


def _body(environ: Environ) -> bytes | None:
    """The body, which is also put back for Flask; None when it is not plain JSON of a known, modest length."""
    length: str = environ.get("CONTENT_LENGTH") or ""
    if "HTTP_CONTENT_ENCODING" in environ:
        return None
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != "application/json":
        return None
    if not length.isdecimal() or not 0 < int(length) <= MAX_BODY:
        return None
    body: bytes = environ["wsgi.input"].read(int(length))
    environ["wsgi.input"] = io.BytesIO(body)
    return body if len(body) == int(length) else None
