"""Accepts RUNNING reports, single or in a batch, without Flask: the requests that make up most of the load.

All other requests (terminal updates, agents not seen yet, any error) go on to Flask unchanged.
"""

import io
import logging
from collections.abc import Callable, Iterable
from typing import Any

import redis
from flask import Flask

from app.agents import task_changes
from app.agents.report_batches import ReportBatches
from app.agents.report_decoder import AGENTS, BATCH, PROGRESS, ReportDecoder, Reports, event_json
from app.auth.authorization import rate_limit_key
from app.auth.permissions import Action, Role, allows
from app.auth.tokens import Principal
from app.core.errors import DomainError
from app.http.rate_limits import address_key, rate_limit
from app.http.responses import HEADERS, NO_STORE, STRICT_TRANSPORT
from app.observability import metrics
from app.observability.requests import REQUEST_ID_HEADER, on_behalf_of, request_id
from app.realtime import emitter, limiter

logger = logging.getLogger(__name__)

MAX_BODY = 512 * 1024

Environ = dict[str, Any]
Headers = list[tuple[str, str]]

_FIXED_HEADERS: Headers = [("Content-Type", "application/json"), NO_STORE, *HEADERS.items()]
_accepted = metrics.PROGRESS_ACCEPTED.labels("RUNNING")
_requests = {
    False: metrics.HTTP_REQUESTS.labels("POST", AGENTS + "<string:agent_id>" + PROGRESS, "202"),
    True: metrics.HTTP_REQUESTS.labels("POST", BATCH, "202"),
}


class ProgressFastPath:
    """WSGI middleware in front of Flask."""

    def __init__(self, app: Flask, wsgi_app: Callable[..., Any]) -> None:
        self._app = app
        self._wsgi_app = wsgi_app
        self._decoder = ReportDecoder()
        self._batches = ReportBatches()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"].endswith(PROGRESS):
            environ["HTTP_X_REQUEST_ID"] = request_id(environ.get("HTTP_X_REQUEST_ID", ""))
            try:
                response = self._accept(environ)
            except Exception:  # Flask takes over
                logger.exception("fast_path.failed", extra={"requestId": environ["HTTP_X_REQUEST_ID"]})
                response = None
            if response is not None:
                body, headers = response
                start_response("202 ACCEPTED", headers)
                return [body]
        chunks: Iterable[bytes] = self._wsgi_app(environ, start_response)
        return chunks

    def _accept(self, environ: Environ) -> tuple[bytes, Headers] | None:
        """The response; None leaves the request to Flask."""
        principal = self._authenticate(environ)
        body = _read_body(environ) if principal else None
        if principal is None or body is None:
            return None
        path = environ["PATH_INFO"]
        reports = self._decoder.decode(body, path)
        if not reports or not self._may_report(principal, reports):
            return None
        limits = self._app.extensions["limits"]
        token = limits.token.take(rate_limit_key(principal))
        address = limits.address.take(address_key(environ.get("REMOTE_ADDR", "")))
        if token is None or address is None or not self._submit(reports, principal, environ["HTTP_X_REQUEST_ID"]):
            return None
        _accepted.inc(len(reports))
        _requests[path == BATCH].inc()
        rejected = b',"rejected":[]' if path == BATCH else b""
        response = b'{"accepted":"%d"%s}\n' % (len(reports), rejected)
        headers = [
            *_FIXED_HEADERS,
            ("Content-Length", str(len(response))),
            ("RateLimit-Policy", limits.policy),
            ("RateLimit", rate_limit("token", token) if token < address else rate_limit("address", address)),
            (REQUEST_ID_HEADER, environ["HTTP_X_REQUEST_ID"]),
        ]
        if environ.get("wsgi.url_scheme") == "https":
            headers.append(STRICT_TRANSPORT)
        return response, headers

    def _authenticate(self, environ: Environ) -> Principal | None:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or "HTTP_ORIGIN" in environ or "HTTP_IDEMPOTENCY_KEY" in environ:
            return None  # only Flask adds CORS headers and stores keys
        try:
            principal: Principal = self._app.extensions["token_verifier"].verify(token.strip())
        except DomainError:
            return None
        revocations = self._app.extensions["revocations"]
        may_be_revoked = not revocations.is_loaded or revocations.is_revoked(principal)
        return None if may_be_revoked or not allows(principal.role, Action.REPORT_PROGRESS) else principal

    def _may_report(self, principal: Principal, reports: Reports) -> bool:
        """Whether every report is valid and names a known agent and protocol that the principal may report for."""
        known = self._app.extensions["known_ids"]
        agents, protocols = known["agent"], known["protocol"]
        if principal.role is Role.AGENT and any(agent_id != principal.subject for agent_id, _ in reports):
            return False
        for protocol_id in {report.protocol_id for _, report in reports}:
            if protocol_id not in protocols or not principal.grants(protocol_id):
                return False
        are_known = all(agent_id in agents for agent_id, _ in reports)
        return are_known and self._decoder.are_valid(report for _, report in reports)

    def _submit(self, reports: Reports, principal: Principal, caused_by: str) -> bool:
        """Send the reports to the coalescer. False if Redis did not take all of them: Flask then tries again."""
        running = [
            limiter.RunningReport(agent_id, report.protocol_id, report.task, event_json(agent_id, report))
            for agent_id, report in reports
        ]
        try:
            taken = self._batches.report(running, self._app.extensions["room_scripts"])
        except redis.RedisError as error:
            logger.warning("fast_path.failed", extra={"reports": len(running), "error": str(error)})
            return False
        if taken.starts or taken.outcome:
            with self._app.app_context(), on_behalf_of(caused_by):
                task_changes.store_starts(taken.starts, principal)
                if taken.outcome is not None:
                    emitter.record_outcome(taken.outcome)
        return not taken.failed


def _read_body(environ: Environ) -> bytes | None:
    """The body, also put back for Flask; None unless it is uncompressed JSON of a known length up to MAX_BODY."""
    length: str = environ.get("CONTENT_LENGTH") or ""
    media_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if media_type != "application/json" or "HTTP_CONTENT_ENCODING" in environ:
        return None
    if not length.isdecimal() or not 0 < int(length) <= MAX_BODY:
        return None
    body: bytes = environ["wsgi.input"].read(int(length))
    environ["wsgi.input"] = io.BytesIO(body)
    return body if len(body) == int(length) else None
