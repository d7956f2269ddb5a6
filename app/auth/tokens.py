"""Signed tokens (JWT, RFC 7519): made with the shared secret, verified with it or a provider's key set."""

import time
from dataclasses import dataclass
from typing import Any

import jwt
import uuid_utils.compat as uuid
from cachetools import TTLCache

from app.auth.permissions import Role
from app.config import Config
from app.errors import DependencyDown, Unauthorized

ALGORITHM = "HS256"
PROVIDER_ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "PS256", "EdDSA"]
REQUIRED_CLAIMS = ["sub", "role", "protocols", "exp", "iat", "jti"]
ALL_PROTOCOLS = "*"
MAX_TOKEN_LENGTH = 8192
MAX_GRANTS = 1000


@dataclass(frozen=True)
class Principal:
    """Who calls: the checked claims of a token. `expires_at` is Unix seconds."""

    subject: str
    role: Role
    protocols: frozenset[str]
    expires_at: float
    token_id: str

    @property
    def sees_all(self) -> bool:
        return self.role is Role.ADMIN or ALL_PROTOCOLS in self.protocols

    def sees(self, protocol_id: str) -> bool:
        return self.sees_all or protocol_id in self.protocols


class TokenVerifier:
    """Verifies tokens; a verified one is remembered for at most a minute, never past its expiry."""

    def __init__(self, settings: Config) -> None:
        self._settings = settings
        self._known: TTLCache[str, Principal] = TTLCache(maxsize=20_000, ttl=60)
        self._key_set = None
        if settings.jwks_url:
            self._key_set = jwt.PyJWKClient(settings.jwks_url, cache_keys=True, lifespan=300, timeout=3)

    def verify(self, token: str) -> Principal:
        """Return whose token this is. Raises Unauthorized, or DependencyDown when the key set is out of reach."""
        principal = self._known.get(token)
        if principal is None:
            principal = _principal(self._claims(token))
            self._known[token] = principal
        if principal.expires_at + self._settings.token_leeway <= time.time():
            raise Unauthorized("The token has expired.", code="TOKEN_EXPIRED")
        return principal

    def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN_LENGTH:
            raise Unauthorized("The token is too long.")
        fault: Exception = Unauthorized("no key")
        for key, algorithms in self._keys(token):
            try:
                return self._decode(token, key, algorithms)
            except jwt.ExpiredSignatureError as error:
                raise Unauthorized("The token has expired.", code="TOKEN_EXPIRED") from error
            except jwt.InvalidTokenError as error:
                fault = error
        raise Unauthorized("The token is not valid.") from fault

    def _keys(self, token: str) -> list[tuple[Any, list[str]]]:
        if self._key_set is None:
            secrets = (self._settings.signing_key, self._settings.previous_signing_key)
            return [(secret, [ALGORITHM]) for secret in secrets if secret]
        try:
            return [(self._key_set.get_signing_key_from_jwt(token).key, PROVIDER_ALGORITHMS)]
        except jwt.PyJWKClientConnectionError as error:
            raise DependencyDown("The identity provider's keys are out of reach.", code="KEYS_UNAVAILABLE") from error
        except jwt.PyJWTError as error:
            raise Unauthorized("The token is not valid.") from error

    def _decode(self, token: str, key: Any, algorithms: list[str]) -> dict[str, Any]:
        settings = self._settings
        required = REQUIRED_CLAIMS + (["iss"] if settings.token_issuer else [])
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=algorithms,
            leeway=settings.token_leeway,
            issuer=settings.token_issuer or None,
            audience=settings.token_audience or None,
            options={"require": required, "verify_aud": bool(settings.token_audience)},
        )
        return claims


def _principal(claims: dict[str, Any]) -> Principal:
    """Check the types of the claims: a signature proves who wrote them, not that they make sense."""
    subject, protocols, token_id = claims["sub"], claims["protocols"], claims["jti"]
    if not (isinstance(subject, str) and 0 < len(subject) <= 128):  # noqa: PLR2004 - room for an e-mail address
        raise Unauthorized("The token's `sub` must be a non-empty string.")
    if claims["role"] not in list(Role):
        raise Unauthorized("The token's `role` is not one of: " + ", ".join(Role) + ".")
    grants_fit = isinstance(protocols, list) and len(protocols) <= MAX_GRANTS
    if not grants_fit or not all(isinstance(each, str) for each in protocols):
        raise Unauthorized("The token's `protocols` must be a list of ids.")
    if not isinstance(token_id, str):
        raise Unauthorized("The token's `jti` must be a string.")
    return Principal(subject, Role(claims["role"]), frozenset(protocols), float(claims["exp"]), token_id)


def issue(settings: Config, *, subject: str, role: Role, protocols: list[str], ttl_seconds: int) -> str:
    """Sign a token with the running configuration's key. Raises ValueError when the keys belong to a provider."""
    if not settings.signing_key:
        raise ValueError("tokens come from the identity provider: DASHBOARD_JWKS_URL is set")
    now = int(time.time())
    claims: dict[str, Any] = {
        "sub": subject,
        "role": str(role),
        "protocols": protocols,
        "iat": now,
        "exp": now + ttl_seconds,
        "jti": str(uuid.uuid7()),
    }
    if settings.token_issuer:
        claims["iss"] = settings.token_issuer
    if settings.token_audience:
        claims["aud"] = settings.token_audience
    return jwt.encode(claims, settings.signing_key, algorithm=ALGORITHM)
