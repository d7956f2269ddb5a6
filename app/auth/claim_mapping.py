"""Translates the claims of an identity provider's tokens into ours, as the settings `DASHBOARD_TOKEN_…` say."""

from collections.abc import Iterable
from typing import Any

from app.auth.permissions import Role, includes
from app.config import Config
from app.config.claims import ClaimPath, claim_paths, protocol_ids, role_names
from app.core.errors import DomainError, Unauthorized

Claims = dict[str, Any]
_ABSENT = object()


class ClaimMapping:
    """The claims `sub`, `role`, `protocols` and `jti` by where a provider puts them."""

    def __init__(self, settings: Config) -> None:
        self._subject = claim_paths(settings.token_subject_claim)
        self._token_id = claim_paths(settings.token_id_claim)
        self._role = claim_paths(settings.token_role_claim)
        self._protocols = claim_paths(settings.token_protocols_claim)
        self._role_names = role_names(settings.token_roles)
        self._default_role = settings.token_default_role
        self._prefix = settings.token_protocols_prefix
        self._default_protocols = protocol_ids(settings.token_default_protocols)

    def translate(self, claims: Claims) -> Claims:
        """The token's claims with ours added. Raises Unauthorized for a claim that is missing or unsuitable."""
        return claims | {
            "sub": _required(claims, self._subject),
            "jti": _required(claims, self._token_id),
            "role": self._role_of(claims),
            "protocols": self._protocols_of(claims),
        }

    def _role_of(self, claims: Claims) -> str:
        """The role that has the rights of all that the token names: never more than the provider granted."""
        found = _first(claims, self._role)
        if found is _ABSENT and not self._default_role:
            raise _missing(self._role)
        names = _names(found, self._role)
        roles = {Role(self._role_names[name]) for name in names if name in self._role_names} or (
            {Role(self._default_role)} if self._default_role else set()
        )
        if not roles:
            known = ", ".join(self._role_names)
            raise Unauthorized(f"The token's `{_spelled(self._role)}` holds none of the roles: {known}.")
        for role in roles:
            if all(includes(role, other) for other in roles):
                return role
        both = " and ".join(sorted(roles))
        raise Unauthorized(f"The token's `{_spelled(self._role)}` holds {both}, and no role that includes all of them.")

    def _protocols_of(self, claims: Claims) -> list[str]:
        found = _first(claims, self._protocols)
        if found is _ABSENT:
            if not self._default_protocols:
                raise _missing(self._protocols)
            return self._default_protocols
        names = _names(found, self._protocols)
        return [name.removeprefix(self._prefix) for name in names if name.startswith(self._prefix)]


def _first(claims: Claims, paths: Iterable[ClaimPath]) -> Any:
    """The value of the first path that the token has; null counts as absent."""
    for path in paths:
        value: Any = claims
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            return value
    return _ABSENT


def _required(claims: Claims, paths: tuple[ClaimPath, ...]) -> Any:
    found = _first(claims, paths)
    if found is _ABSENT:
        raise _missing(paths)
    return found


def _names(found: Any, paths: tuple[ClaimPath, ...]) -> list[str]:
    """The strings of a claim that holds one or a list of them."""
    names = [] if found is _ABSENT else [found] if isinstance(found, str) else found
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise Unauthorized(f"The token's `{_spelled(paths)}` must be a string or a list of strings.")
    return names


def _missing(paths: tuple[ClaimPath, ...]) -> DomainError:
    return Unauthorized(f"The token lacks the claim `{_spelled(paths)}`.")


def _spelled(paths: tuple[ClaimPath, ...]) -> str:
    return "` or `".join(".".join(path) for path in paths)
