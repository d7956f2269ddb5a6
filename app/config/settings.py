"""The settings: environment variable, default and description of each.

`docs/configuration.md` is generated from this list; `app/config/__init__.py` reads and checks the values.
"""

from dataclasses import dataclass, field, fields
from typing import Any

from marshmallow import validate

from app.config.addresses import ANY, Network, networks, normalized

MIN_KEY_BYTES = 32
MIN_PAYOUT_SECRET_BYTES = 16


def setting(env: str, about: str, default: Any = "", *, check: Any = None, secret: bool = False) -> Any:
    """A field of the configuration; numbers are not negative unless `check` says otherwise."""
    if check is None and not isinstance(default, str):
        check = validate.Range(min=0)
    metadata = {"env": env, "about": about, "check": check, "secret": secret}
    return field(default=default, metadata=metadata, repr=not secret)


_positive = validate.Range(min=1)


@dataclass(frozen=True)
class Config:
    """The whole configuration; times in seconds unless the name says otherwise."""

    home: str = setting("DASHBOARD_HOME", "folder of `dashboard up`: data, key, pid files", ".dashboard")
    database_url: str = setting(
        "DATABASE_URL",
        "`postgresql://user:password@host:port/name` (or `postgres://`), or `sqlite:////folder/file.db`; "
        "in a path `%` is written `%25` and `?` is written `%3F`",
        secret=True,
    )
    database_pooler: int = setting(
        "DATABASE_POOLER",
        "1: PgBouncer in transaction mode stands before PostgreSQL, so no prepared statements are used, and the time "
        "limits must be set on the role",
        0,
        check=validate.Range(min=0, max=1),
    )
    redis_url: str = setting(
        "REDIS_URL",
        "`redis://[:password@]host:port/number`, `rediss://` (TLS; options as `?ssl_ca_certs=/ca.pem`) or "
        "`sentinel://[:password@]host:port,host:port/service/db`",
        secret=True,
    )
    rooms_redis_url: str = setting(
        "ROOMS_REDIS_URL",
        "the Redis of the rooms, if it is another one: in the forms of REDIS_URL, or a cluster as "
        "`valkey-cluster://[[user]:password@]host:port,host:port` (or `redis-cluster://`; with TLS `rediss-cluster://` "
        "or `valkeys-cluster://`, with the options of `rediss://`)",
        secret=True,
    )
    redis_sentinel_password: str = setting(
        "REDIS_SENTINEL_PASSWORD",
        "password of the sentinels, if they have one; the one in the URL is that of the Redis servers",
        secret=True,
    )

    signing_key: str = setting(
        "DASHBOARD_SIGNING_KEY", f"secret that signs tokens (HS256), at least {MIN_KEY_BYTES} random bytes", secret=True
    )
    previous_signing_key: str = setting(
        "DASHBOARD_PREVIOUS_SIGNING_KEY", "the key before a rotation: accepted, but not used to sign", secret=True
    )
    jwks_url: str = setting(
        "DASHBOARD_JWKS_URL",
        "identity provider's key set (JWKS); replaces the shared secret; `https://`, or `http://` to this machine",
    )
    token_issuer: str = setting("DASHBOARD_TOKEN_ISSUER", "required `iss` of tokens, when set")
    token_audience: str = setting(
        "DASHBOARD_TOKEN_AUDIENCE", "required `aud` of tokens; when not set, tokens with `aud` are rejected"
    )
    token_leeway: int = setting("DASHBOARD_TOKEN_LEEWAY", "tolerated clock difference in token times", 5)

    payout_url: str = setting(
        "PAYOUT_URL",
        "service that moves the money, `https://`, or `http://` to this machine; empty: payments are settled in "
        "the ledger alone",
        secret=True,
    )
    payout_allow_http: int = setting(
        "PAYOUT_ALLOW_HTTP",
        "1: `PAYOUT_URL` may be `http://` to another host, such as in a private network",
        0,
        check=validate.Range(min=0, max=1),
    )
    payout_secret: str = setting(
        "PAYOUT_SECRET",
        f"key of the payouts' HMAC-SHA256 signature, at least {MIN_PAYOUT_SECRET_BYTES} random bytes",
        secret=True,
    )
    payout_connect_timeout: float = setting(
        "PAYOUT_CONNECT_TIMEOUT", "timeout for connecting to the payout service", 2.0
    )
    payout_read_timeout: float = setting("PAYOUT_READ_TIMEOUT", "timeout for the payout service's answer", 5.0)
    payout_retry_base: float = setting(
        "PAYOUT_RETRY_BASE", "first delay before a payout is retried; doubles, with jitter", 1.0
    )
    payout_retry_cap: float = setting("PAYOUT_RETRY_CAP", "longest delay between two attempts", 300.0)

    webhook_encryption_key: str = setting(
        "WEBHOOK_ENCRYPTION_KEY",
        f"key that encrypts the secrets of webhooks in the database, at least {MIN_KEY_BYTES} random bytes; empty: "
        "derived from DASHBOARD_SIGNING_KEY",
        secret=True,
    )
    previous_webhook_encryption_key: str = setting(
        "WEBHOOK_PREVIOUS_ENCRYPTION_KEY",
        "the key before a rotation; secrets are encrypted anew within ten minutes",
        secret=True,
    )
    webhook_allowed_networks: str = setting(
        "WEBHOOK_ALLOWED_NETWORKS",
        "networks that are not public and that webhooks may reach, comma-separated, such as `10.1.0.0/16,fd00:1::/32`; "
        "`dashboard up` allows this machine",
    )
    webhook_allow_http: int = setting(
        "WEBHOOK_ALLOW_HTTP",
        "1: webhooks may be `http://`; `dashboard up` allows it",
        0,
        check=validate.Range(min=0, max=1),
    )

    rest_per_token: int = setting("DASHBOARD_REST_PER_TOKEN", "REST requests a second per token", 1000, check=_positive)
    rest_per_address: int = setting(
        "DASHBOARD_REST_PER_ADDRESS", "REST requests a second per address", 3000, check=_positive
    )
    sockets_per_token: int = setting("DASHBOARD_SOCKETS_PER_TOKEN", "open sockets per token", 5000, check=_positive)
    sockets_per_address: int = setting(
        "DASHBOARD_SOCKETS_PER_ADDRESS", "open sockets per address", 10000, check=_positive
    )
    sockets_per_process: int = setting(
        "DASHBOARD_SOCKETS_PER_PROCESS", "open sockets per web process", 10000, check=_positive
    )
    client_events_per_second: int = setting(
        "DASHBOARD_CLIENT_EVENTS_PER_SECOND", "client events a second per socket", 50, check=_positive
    )
    handshake_seconds: float = setting(
        "DASHBOARD_HANDSHAKE_SECONDS",
        "a connection that has not authenticated by then is closed",
        10.0,
        check=_positive,
    )
    allowed_origins: str = setting(
        "DASHBOARD_ALLOWED_ORIGINS",
        "other origins whose pages and apps may connect, comma-separated, such as `https://app.example`, "
        "`capacitor://localhost`, `null` (`file:` pages) or `*`; the own origin is always allowed",
    )
    trusted_proxies: int = setting(
        "DASHBOARD_TRUSTED_PROXIES",
        "number of proxies in front that set `X-Forwarded-For` and `X-Forwarded-Proto`; they must pass on `Host`",
        0,
    )
    shutdown_grace: float = setting(
        "DASHBOARD_SHUTDOWN_GRACE", "time a web process gives requests and sockets to finish at shutdown", 15.0
    )
    visibility_timeout: int = setting(
        "DASHBOARD_VISIBILITY_TIMEOUT", "time after which a dead worker's tasks run again", 60, check=_positive
    )

    metrics_port: int = setting(
        "DASHBOARD_METRICS_PORT",
        "port on which workers and beat serve their metrics; 0: none, as under `dashboard up`",
        0,
    )

    log_level: str = setting(
        "DASHBOARD_LOG_LEVEL",
        "DEBUG, INFO, WARNING or ERROR",
        "INFO",
        check=validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR"]),
    )
    log_format: str = setting(
        "DASHBOARD_LOG_FORMAT", "`text` for people, `json` for machines", "text", check=validate.OneOf(["text", "json"])
    )

    otlp_endpoint: str = setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT", "OpenTelemetry collector, as `http://collector:4318`; empty: no traces"
    )
    otlp_headers: str = setting(
        "OTEL_EXPORTER_OTLP_HEADERS", "headers for the collector, as `name=value,name=value`", secret=True
    )
    otlp_protocol: str = setting(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "the only supported protocol",
        "http/protobuf",
        check=validate.OneOf(["http/protobuf"]),
    )
    service_name: str = setting("OTEL_SERVICE_NAME", "service name in traces", "dashboard-realtime")
    sentry_dsn: str = setting("SENTRY_DSN", "address for crash reports; empty: none", secret=True)

    def public_values(self) -> dict[str, Any]:
        """Each setting that is not secret, by its environment variable."""
        return {each.metadata["env"]: getattr(self, each.name) for each in fields(self) if not each.metadata["secret"]}

    @property
    def webhook_networks(self) -> tuple[Network, ...]:
        return networks(self.webhook_allowed_networks)

    @property
    def origins(self) -> list[str]:
        """The allowed origins, normalized; `*` stays as it is."""
        listed = [each.strip() for each in self.allowed_origins.split(",") if each.strip()]
        return [each if each == ANY else normalized(each) for each in listed]
