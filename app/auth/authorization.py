"""Authentication and authorization: `@requires(action)` for REST routes, `authenticate()` for sockets too."""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from flask import Flask, current_app, g, request

from app.auth.permissions import Action, Role, allows
from app.auth.revocation import Revocations, revocations
from app.auth.tokens import Principal, TokenVerifier
from app.config import Config
from app.core.errors import DomainError, Forbidden, ProtocolNotFound, Unauthorized
from app.core.schemas import is_identifier
from app.http import rate_limits


def init_app(app: Flask, settings: Config) -> None:
    app.extensions["token_verifier"] = TokenVerifier(settings)
    app.extensions["revocations"] = Revocations(settings.token_leeway)


def authenticate(token: object) -> Principal:
    """The token's principal. Raises Unauthorized, also for a revoked token, and DependencyUnavailable."""
    if not isinstance(token, str) or not token:
        raise Unauthorized("A token is required.")
    principal = cast(TokenVerifier, current_app.extensions["token_verifier"]).verify(token)
    revocations().check(principal)
    return principal


def authenticate_bearer() -> Principal:
    """The principal of the request's `Authorization` header. Raises as `authenticate` does."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized("Send `Authorization: Bearer <token>`.")
    return authenticate(token.strip())


def requires(
    action: Action, *, authenticated_by: Callable[[], Principal] = authenticate_bearer
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Require a token whose role may do `action` and that grants the path's `protocol_id`."""

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            caller = g.principal = authenticated_by()
            rate_limits.take(rate_limits.limits().token, rate_limit_key(caller))
            if not allows(caller.role, action):
                raise Forbidden(f"The role {caller.role} may not: {action}.")
            if "protocol_id" in kwargs:
                check_grant(caller, kwargs["protocol_id"])
            return view(*args, **kwargs)

        guarded.required_action = action  # type: ignore[attr-defined]
        guarded.security_schemes = getattr(authenticated_by, "security_schemes", ("bearer",))  # type: ignore[attr-defined]
        return guarded

    return decorate


def rate_limit_key(caller: Principal) -> str:
    return f"{caller.subject}\n{caller.token_id}"


def current_principal() -> Principal:
    return cast(Principal, g.principal)


def check_grant(caller: Principal, protocol_id: str) -> None:
    """Raises NotFound for a protocol that the token does not grant, exactly as for one that does not exist."""
    if not is_identifier(protocol_id) or not caller.grants(protocol_id):
        raise unknown_protocol(protocol_id)


def unknown_protocol(protocol_id: str) -> DomainError:
    return ProtocolNotFound(f"There is no protocol {protocol_id!r}.")


def check_acts_for_itself(caller: Principal, agent_id: str | None) -> None:
    if caller.role is Role.AGENT and caller.subject != agent_id:
        raise Forbidden(f"The agent {caller.subject!r} may act only for itself.")
