"""Signed tokens (JWT, RFC 7519): issued with the shared secret, verified with it or a provider's key set."""

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jwt
import uuid_utils.compat as uuid
from cachetools import TTLCache

from app.auth.claim_mapping import ClaimMapping
from app.auth.keys import ALGORITHM, ProviderKeys, SharedSecrets, key_id_of
from app.auth.permissions import Role
from app.config import Config
from app.core.concurrency import SharedCache
from app.core.errors import TokenExpired, Unauthorized
from app.core.schemas import is_identifier
from app.core.values import naming_problem

TIME_CLAIMS = ["exp", "iat"]
REQUIRED_CLAIMS = ["sub", "role", "protocols", *TIME_CLAIMS, "jti"]
ALL_PROTOCOLS = "*"
MAX_TOKEN_LENGTH = 8192
MAX_GRANTS = 1000
MAX_SUBJECT_LENGTH = 128  # long enough for an e-mail address
MAX_TOKEN_ID_LENGTH = 255
CACHE_SECONDS = 60
MAX_CACHED = 20_000
MAX_TIMESTAMP = 2**53
MAX_LIFE_SECONDS = 400 * 24 * 3600


@dataclass(frozen=True)
class Principal:
    """The caller: the checked claims of a token. `expires_at` and `issued_at` are Unix seconds."""

    subject: str
    role: Role
    protocols: frozenset[str]
    expires_at: float
    token_id: str
    issued_at: float = 0.0

    @property
    def grants_all(self) -> bool:
        return self.role is Role.ADMIN or ALL_PROTOCOLS in self.protocols

    def grants(self, protocol_id: str) -> bool:
        return self.grants_all or protocol_id in self.protocols


class TokenVerifier:
    """Verifies tokens; a verified one is cached for at most a minute, never past its expiry."""

    def __init__(self, settings: Config) -> None:
        self._settings = settings
        self._cache: SharedCache[str, Principal] = SharedCache(TTLCache(MAX_CACHED, CACHE_SECONDS))
        self._keys: ProviderKeys | SharedSecrets = SharedSecrets(settings)
        self._mapping: ClaimMapping | None = None
        required = REQUIRED_CLAIMS
        if settings.jwks_url:
            self._keys, self._mapping = ProviderKeys(settings.jwks_url), ClaimMapping(settings)
            required = TIME_CLAIMS
        self._required = required + (["iss"] if settings.token_issuer else [])

    def verify(self, token: str) -> Principal:
        """The token's principal. Raises Unauthorized; DependencyUnavailable when the key set cannot be fetched."""
        principal = self._cache.get(token)
        if principal is None:
            try:
                claims = self._decode(token)
            except jwt.ExpiredSignatureError as error:
                raise TokenExpired from error
            except jwt.InvalidAudienceError as error:
                raise Unauthorized("The token is meant for another audience (`aud`).") from error
            except jwt.MissingRequiredClaimError as error:
                raise Unauthorized(f"The token lacks the claim `{error.claim}`.") from error
            except jwt.InvalidIssuerError as error:
                raise Unauthorized("The token is of another issuer (`iss`).") from error
            except (jwt.PyJWTError, RecursionError, ValueError, TypeError, ArithmeticError) as error:
                raise Unauthorized("The token is not valid.") from error
            principal = _principal(self._mapping.translate(claims) if self._mapping else claims)
            self._cache[token] = principal
        valid_until = min(principal.expires_at, principal.issued_at + MAX_LIFE_SECONDS)  # so revocations can be deleted
        if valid_until + self._settings.token_leeway <= time.time():
            raise TokenExpired
        return principal

    def _decode(self, token: str) -> dict[str, Any]:
        """The claims, decoded with the first key that fits."""
        if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
            raise ValueError("too long, or not ASCII")
        settings, header = self._settings, _header(token.partition(".")[0])
        fault: jwt.PyJWTError = jwt.InvalidKeyError("no key with this id")
        for key in self._keys.candidates(header.get("kid"), str(header.get("alg"))):
            try:
                return jwt.decode(
                    token,
                    key.material,
                    algorithms=key.algorithms,
                    leeway=settings.token_leeway,
                    issuer=settings.token_issuer or None,
                    audience=settings.token_audience or None,  # where none is set, a token with `aud` is refused
                    options={"require": self._required},
                )
            except (jwt.InvalidSignatureError, jwt.InvalidKeyError, jwt.InvalidAlgorithmError) as error:
                fault = error
        raise fault


@lru_cache(maxsize=64)
def _header(segment: str) -> dict[str, Any]:
    """A token's header, with `kid` and `crit` checked. All tokens of an issuer share it, so it is decoded once."""
    return jwt.get_unverified_header(f"{segment}..")


def _principal(claims: dict[str, Any]) -> Principal:
    """Check the claims' types and bounds, which a signature does not vouch for. Texts are stored and logged."""
    for claim, longest in (("sub", MAX_SUBJECT_LENGTH), ("jti", MAX_TOKEN_ID_LENGTH)):
        if not (isinstance(claims[claim], str) and is_claim_text(claims[claim], longest)):
            raise Unauthorized(f"The token's `{claim}` must be a string of 1 to {longest} printable characters.")
    for claim in ("exp", "iat"):
        value = claims[claim]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MAX_TIMESTAMP:
            raise Unauthorized(f"The token's `{claim}` must be a number of seconds.")
    if claims["role"] not in list(Role):
        raise Unauthorized("The token's `role` is not one of: " + ", ".join(Role) + ".")
    protocols = claims["protocols"]
    grants_fit = isinstance(protocols, list) and len(protocols) <= MAX_GRANTS
    if not grants_fit or not all(isinstance(each, str) for each in protocols):
        raise Unauthorized("The token's `protocols` must be a list of ids.")
    grants = frozenset(each for each in protocols if each == ALL_PROTOCOLS or is_identifier(each))
    expires_at, issued_at = float(claims["exp"]), float(claims["iat"])
    return Principal(claims["sub"], Role(claims["role"]), grants, expires_at, claims["jti"], issued_at)


def is_claim_text(value: str, max_length: int) -> bool:
    """Whether a token may carry this text: printable, with at least one visible character."""
    return len(value) <= max_length and value.isprintable() and naming_problem(value) is None


def issue(settings: Config, *, subject: str, role: Role, protocols: list[str], ttl_seconds: int) -> str:
    """Sign a token with the configured key. Raises ValueError when an identity provider signs them."""
    if settings.jwks_url or not settings.signing_key:
        raise ValueError("tokens come from the identity provider: DASHBOARD_JWKS_URL is set")
    now = int(time.time())
    claims = {
        "sub": subject,
        "role": str(role),
        "protocols": protocols,
        "iat": now,
        "exp": now + ttl_seconds,
        "jti": str(uuid.uuid7()),
    }
    where = {"iss": settings.token_issuer, "aud": settings.token_audience}
    claims |= {claim: value for claim, value in where.items() if value}
    headers = {"kid": key_id_of(settings.signing_key)}
    return jwt.encode(claims, settings.signing_key, ALGORITHM, headers)
