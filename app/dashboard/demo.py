"""The demo's sign-in: tokens of every role for browsers on this machine, while `dashboard up --demo` runs."""

import os

from flask import Response, jsonify, request

from app.auth.permissions import Role
from app.auth.tokens import ALL_PROTOCOLS, issue
from app.config.addresses import is_loopback, is_loopback_authority
from app.core.errors import NotFound
from app.core.extensions import config

DEMO_SWITCH = "DASHBOARD_DEMO"
DEMO_PROTOCOL = "demo"
DEMO_PROTOCOLS = [DEMO_PROTOCOL, "demo-bridge", "demo-vault"]
DEMO_SECONDS = 3600
ROLES = (Role.VIEWER, Role.VALIDATOR, Role.OWNER, Role.ADMIN)


def session() -> Response:
    """Tokens for the demo's roles. Raises NotFound."""
    if not is_on():
        raise NotFound("The demo is off, or not for other machines: sign in with a token.", code="DEMO_OFF")
    return jsonify(protocolId=DEMO_PROTOCOL, expiresIn=str(DEMO_SECONDS), roles={role: _token(role) for role in ROLES})


def _token(role: Role) -> str:
    grants = [ALL_PROTOCOLS] if role is Role.ADMIN else DEMO_PROTOCOLS
    return issue(config(), subject=f"demo-{role}", role=role, protocols=grants, ttl_seconds=DEMO_SECONDS)


def is_on() -> bool:
    """Whether the demo is on, and the caller is on this machine and used a loopback name.

    With DNS rebinding, a foreign page's name resolves to 127.0.0.1, but its requests still have that name as `Host`.
    """
    if os.environ.get(DEMO_SWITCH) != "1":
        return False
    return is_loopback_authority(request.headers.get("Host", "")) and is_loopback(request.remote_addr or "")
