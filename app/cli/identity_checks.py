"""The checks of `dashboard doctor` that concern who may call: the identity provider, and a token."""

from app.auth.keys import fetch_issuer, fetch_key_set
from app.auth.permissions import Role
from app.auth.revocation import Revocations
from app.auth.tokens import TokenVerifier
from app.config.claims import role_names
from app.core.errors import DomainError
from app.core.extensions import config
from app.core.outbound import OutboundError


class CheckFailed(Exception):
    """Raised with two arguments: the problem and its remedy."""


def check_provider() -> str:
    settings = config()
    if not settings.jwks_url:
        return "none: this system signs its tokens"
    try:
        keys = fetch_key_set(settings.jwks_url)
    except (OutboundError, ValueError, RecursionError) as error:
        problem = f"no key set at {settings.jwks_url}: {error}"
        raise CheckFailed(problem, "check DASHBOARD_JWKS_URL, and whether this host reaches it") from error
    if Role.ADMIN not in role_names(settings.token_roles).values():
        problem = "no role of the provider is mapped to `admin`, so nobody can create protocols or agents"
        raise CheckFailed(problem, "add NAME=admin to DASHBOARD_TOKEN_ROLES")
    named = fetch_issuer(settings.token_issuer)
    if named not in (None, settings.token_issuer):
        problem = f"the provider names itself {named!r}, but DASHBOARD_TOKEN_ISSUER is {settings.token_issuer!r}"
        raise CheckFailed(problem, "set DASHBOARD_TOKEN_ISSUER to the provider's name, to the letter")
    audience = settings.token_audience
    required = f"must hold {audience!r}" if audience else "must be absent, because DASHBOARD_TOKEN_AUDIENCE is not set"
    return f"{sum(map(len, keys.values()))} keys; `aud` of its tokens {required}"


def check_token(token: str) -> str:
    try:
        caller = TokenVerifier(config()).verify(token)
        Revocations(config().token_leeway).check(caller)
    except DomainError as error:
        raise CheckFailed(error.detail, "compare its claims with docs/how-to/identity-providers.md") from error
    grants = "all protocols" if caller.grants_all else f"protocols {', '.join(sorted(caller.protocols)) or 'none'}"
    return f"{caller.subject} is {caller.role}, for {grants}; revoked by the id {caller.token_id}"
