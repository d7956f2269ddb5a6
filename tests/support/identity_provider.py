"""An identity provider: its key set, its discovery document, and access tokens shaped as real providers make them.

The claims are those that the providers' documentation shows; `PROVIDERS` has the settings that fit them.
"""

import json
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "https://dashboard.example/api"
NAMESPACE = "https://dashboard.example"
ROLES = ",".join(f"dashboard-{role}={role}" for role in ("viewer", "agent", "validator", "owner", "admin"))


def keycloak(issuer: str, role: Any, protocols: list[str]) -> dict[str, Any]:
    """Realm roles beside those of every user; protocols are groups."""
    return {
        "iss": issuer, "aud": [AUDIENCE, "account"], "sub": str(uuid.uuid4()), "typ": "Bearer", "azp": "dashboard-page",
        "sid": str(uuid.uuid4()), "jti": f"onrtac:{uuid.uuid4()}", "acr": "1", "allowed-origins": [NAMESPACE],
        "realm_access": {"roles": ["default-roles-acme", "offline_access", "uma_authorization", *listed(role)]},
        "resource_access": {"account": {"roles": ["manage-account", "view-profile"]}}, "scope": "openid email profile",
        "groups": ["/staff", *(f"/protocols/{each}" for each in protocols)], "preferred_username": "ada",
        "email_verified": True, "email": "ada@acme.example",
    }  # fmt: skip


def auth0(issuer: str, role: Any, protocols: list[str]) -> dict[str, Any]:
    """Namespaced claims of an Action, in the RFC 9068 profile, which has `jti`."""
    return {
        "iss": issuer, "aud": [AUDIENCE, f"{issuer}userinfo"], "sub": "auth0|507f1f77bcf86cd799439020",
        "client_id": "aX4KfBpS0Zq", "jti": uuid.uuid4().hex, "scope": "openid profile",
        f"{NAMESPACE}/roles": listed(role), f"{NAMESPACE}/protocols": protocols,
    }  # fmt: skip


def supabase(issuer: str, role: Any, protocols: list[str]) -> dict[str, Any]:
    """`role` is PostgreSQL's; ours is in `app_metadata`, which users cannot change."""
    return {
        "iss": issuer, "aud": "authenticated", "sub": str(uuid.uuid4()), "email": "ada@acme.example", "phone": "",
        "app_metadata": {"provider": "email", "providers": ["email"], "role": role, "protocols": protocols},
        "user_metadata": {"email_verified": True, "role": "admin"}, "role": "authenticated", "aal": "aal1",
        "amr": [{"method": "password", "timestamp": int(time.time())}], "session_id": str(uuid.uuid4()),
        "is_anonymous": False,
    }  # fmt: skip


def listed(role: Any) -> list[Any]:
    return role if isinstance(role, list) else [role]


PROVIDERS = {
    "keycloak": (keycloak, "RS256", {
        "DASHBOARD_TOKEN_AUDIENCE": AUDIENCE,
        "DASHBOARD_TOKEN_ROLE_CLAIM": "realm_access.roles",
        "DASHBOARD_TOKEN_ROLES": ROLES,
        "DASHBOARD_TOKEN_PROTOCOLS_CLAIM": "groups",
        "DASHBOARD_TOKEN_PROTOCOLS_PREFIX": "/protocols/",
    }),
    "auth0": (auth0, "RS256", {
        "DASHBOARD_TOKEN_AUDIENCE": AUDIENCE,
        "DASHBOARD_TOKEN_ROLE_CLAIM": f"{NAMESPACE}/roles",
        "DASHBOARD_TOKEN_ROLES": ROLES,
        "DASHBOARD_TOKEN_PROTOCOLS_CLAIM": f"{NAMESPACE}/protocols",
        "DASHBOARD_TOKEN_SUBJECT_CLAIM": f"{NAMESPACE}/agent,sub",
    }),
    "supabase": (supabase, "ES256", {
        "DASHBOARD_TOKEN_AUDIENCE": "authenticated",
        "DASHBOARD_TOKEN_ROLE_CLAIM": "app_metadata.role",
        "DASHBOARD_TOKEN_ROLES": ROLES,
        "DASHBOARD_TOKEN_PROTOCOLS_CLAIM": "app_metadata.protocols",
        "DASHBOARD_TOKEN_ID_CLAIM": "session_id",
    }),
}  # fmt: skip


def new_key(algorithm: str) -> Any:
    return ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else rsa.generate_private_key(65537, 2048)


@dataclass
class IdentityProvider:
    """Serves its key set while the `with` block runs; `named` is the issuer that its discovery document names."""

    kind: str
    algorithm: str = ""
    keys: dict[str, Any] = field(default_factory=dict)
    named: str = ""
    issuer: str = ""

    def __enter__(self) -> Self:
        self._claims, self.algorithm, own = PROVIDERS[self.kind]
        self.rotate("first")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        base = f"http://127.0.0.1:{self._server.server_port}"
        self.issuer = self.named = {"keycloak": f"{base}/realms/acme", "auth0": f"{base}/"}.get(
            self.kind, f"{base}/auth/v1"
        )
        self.settings = own | {
            "DASHBOARD_JWKS_URL": f"{base}/jwks.json",
            "DASHBOARD_TOKEN_ISSUER": self.issuer,
            "DASHBOARD_SIGNING_KEY": "",
        }
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def rotate(self, key_id: str) -> None:
        """Publish and use a new key beside the last one."""
        self.keys = dict(list(self.keys.items())[-1:]) | {key_id: new_key(self.algorithm)}

    def claims(self, role: Any = "dashboard-owner", protocols: list[str] | None = None) -> dict[str, Any]:
        now = int(time.time())
        shaped: dict[str, Any] = self._claims(self.issuer, role, ["P1"] if protocols is None else protocols)
        return shaped | {"iat": now, "exp": now + 3600}

    def token(self, role: Any = "dashboard-owner", protocols: list[str] | None = None, **changes: Any) -> str:
        """An access token, signed with the newest key; a change to None leaves a claim out."""
        claims = {name: value for name, value in (self.claims(role, protocols) | changes).items() if value is not None}
        key_id, key = list(self.keys.items())[-1]
        return jwt.encode(claims, key, self.algorithm, headers={"kid": key_id, "typ": "JWT"})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self
        algorithm = ECAlgorithm if self.algorithm == "ES256" else RSAAlgorithm

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer: dict[str, Any] = {"issuer": provider.named}
                if self.path == "/jwks.json":
                    answer = {
                        "keys": [
                            json.loads(algorithm.to_jwk(key.public_key()))
                            | {"kid": key_id, "use": "sig", "alg": provider.algorithm}
                            for key_id, key in provider.keys.items()
                        ]
                    }
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *_: object) -> None:
                pass

        return Handler
