"""The page at `/`, its modules under `/static`, and the demo's sign-in."""

import hashlib
import mimetypes
import os
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path

from flask import Blueprint, Response, jsonify, request
from werkzeug.security import safe_join

from app.auth.authorization import requires
from app.auth.permissions import Action, Role
from app.auth.tokens import issue
from app.config.addresses import is_loopback, is_loopback_authority
from app.core.errors import DomainError, NotFound
from app.core.extensions import config
from app.dashboard import assets, operations
from app.http.responses import BEST, CompressibleBody

STATIC = Path(__file__).parent / "static"
DEMO_SWITCH = "DASHBOARD_DEMO"
DEMO_PROTOCOL = "demo"
DEMO_ROLES = (Role.VIEWER, Role.VALIDATOR, Role.OWNER)
DEMO_SECONDS = 3600

blueprint = Blueprint("dashboard", __name__)


class NotSetUp(DomainError):
    code, status = "PAGE_NOT_SET_UP", HTTPStatus.SERVICE_UNAVAILABLE


@dataclass(frozen=True)
class Asset:
    """A file's response body and headers."""

    content: CompressibleBody
    etag: str
    content_type: str


@blueprint.get("/")
def page() -> Response:
    """The dashboard page"""
    return _page("index.html")


@blueprint.get("/ops")
def operators_page() -> Response:
    """The operators' page"""
    return _page("ops.html")


@blueprint.get("/ops/status")
@requires(Action.OPERATE)
def operators_status() -> Response:
    """The system's state, for the operators' page"""
    response = jsonify(operations.status())
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/static/<path:name>")
def static_file(name: str) -> Response:
    """A module, style sheet or picture of the pages"""
    return _serve(name)


@blueprint.get("/demo/session")
def demo_session() -> Response:
    """Tokens for the demo's roles, when the demo is on (`dashboard up --demo`) and the browser is on this machine"""
    if not _is_demo():
        raise NotFound("The demo is off, or not for other machines: sign in with a token.", code="DEMO_OFF")
    response = jsonify(
        protocolId=DEMO_PROTOCOL, expiresIn=str(DEMO_SECONDS), roles={role: _demo_token(role) for role in DEMO_ROLES}
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def _is_demo() -> bool:
    """Whether the demo is on, and the caller is on this machine and used a loopback name.

    With DNS rebinding, a foreign page's name resolves to 127.0.0.1, but its requests still have that name as `Host`.
    """
    if os.environ.get(DEMO_SWITCH) != "1":
        return False
    return is_loopback_authority(request.headers.get("Host", "")) and is_loopback(request.remote_addr or "")


def _demo_token(role: Role) -> str:
    grants = [DEMO_PROTOCOL]
    return issue(config(), subject=f"demo-{role}", role=role, protocols=grants, ttl_seconds=DEMO_SECONDS)


def _page(name: str) -> Response:
    if not assets.are_installed():
        raise NotSetUp("The page's modules are missing: run `make setup`, or `python -m app.dashboard.assets`.")
    return _serve(name)


def _serve(name: str) -> Response:
    path = safe_join(str(STATIC), name)
    if path is None or not _is_file(path):
        raise NotFound(f"There is nothing at {request.path}.")
    asset = _asset(path, Path(path).stat().st_mtime_ns, demo=_is_demo())
    response = asset.content.response(asset.content_type)
    # Revalidated each time, so that no browser mixes the files of two releases.
    response.headers["Cache-Control"] = "no-cache"
    response.set_etag(asset.etag)
    response.make_conditional(request)
    return response


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError:  # the name is too long for a file
        return False


@lru_cache(maxsize=128)
def _asset(path: str, changed_ns: int, *, demo: bool) -> Asset:
    del changed_ns  # only part of the cache key
    body = Path(path).read_bytes()
    content_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
    if demo and content_type == "text/html":
        body = body.replace(b"<html ", b"<html data-demo ", 1)
    if content_type.startswith("text/") or content_type.endswith(("javascript", "json", "svg+xml")):
        content_type += "; charset=utf-8"
    return Asset(CompressibleBody(body, BEST), hashlib.sha256(body).hexdigest()[:32], content_type)
