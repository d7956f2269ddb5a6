"""REST limits per token and per address: decided in memory, shared between processes in the background.

Each process has a bucket per key that refills at the limit's rate and holds one second of it, so a caller below the
limit in every second is never refused. Twice a second the processes exchange the usage of their busy keys through
Redis. While Redis is down each process grants the full limit on its own: an outage of the limiter must not become one
of the service. Flask-Limiter is not used: it makes a round trip to Redis for each request and each limit.
"""

import hashlib
import ipaddress
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import redis
from flask import Flask, Response, current_app, g, request

from app.config import Config
from app.core import runtime
from app.core.errors import TooManyOpenAnswers, TooManyRequests
from app.core.extensions import redis_client
from app.http.problems import problem
from app.observability import metrics

logger = logging.getLogger(__name__)

SYNC_SECONDS = 0.5
SHARED_FRACTION = 0.05
KEY_LIFETIME_SECONDS = 10
MAX_UNSENT_BYTES = 16 * 1024 * 1024
MIN_COUNTED_BYTES = 64 * 1024
UNLIMITED_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


class Limit:
    """At most `per_second` requests a second for each key, by GCRA: the only state is one number per key."""

    def __init__(self, name: str, per_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.name, self.per_second, self._clock = name, per_second, clock
        self._full_at: dict[str, float] = {}  # when each key's bucket will be full again, unless it is
        self._used: dict[str, int] = {}
        self._totals: dict[str, int] = {}

    def take(self, key: str) -> int | None:
        """Count one request; returns how many are left at this moment, or None if the limit is reached."""
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now) + 1 / self.per_second
        left = 1 - (full_at - now)
        if left < -1e-9:  # noqa: PLR2004 - rounding error of a thousand additions
            return None
        self._full_at[key] = full_at
        self._used[key] = self._used.get(key, 0) + 1
        return int(left * self.per_second + 1e-6)

    def charge(self, key: str, count: int) -> None:
        """Count `count` more requests without a check: they delay later requests, not the present one."""
        self._delay(key, count, self._clock())
        self._used[key] = self._used.get(key, 0) + count

    def _delay(self, key: str, count: int, since: float) -> None:
        self._full_at[key] = max(self._full_at.get(key, since), since) + count / self.per_second

    def take_busy_usage(self) -> dict[str, int]:
        """The usage since the last call of each busy key; only busy keys are shared with other processes."""
        now = self._clock()
        self._full_at = {key: moment for key, moment in self._full_at.items() if moment > now}
        used, self._used = self._used, {}
        threshold = self.per_second * SHARED_FRACTION * SYNC_SECONDS
        busy = {key: count for key, count in used.items() if count > threshold}
        self._totals = {key: total for key, total in self._totals.items() if key in busy}
        return busy

    def add_usage_elsewhere(self, key: str, used_here: int, used_by_all: int) -> None:
        """Count what other processes let through since the last exchange, as if it had come right after that."""
        elsewhere = used_by_all - used_here - self._totals.get(key, used_by_all - used_here)
        self._totals[key] = used_by_all
        if elsewhere > 0:
            self._delay(key, elsewhere, self._clock() - SYNC_SECONDS)


@dataclass
class Limits:
    token: Limit
    address: Limit
    policy: str


def init_app(app: Flask, settings: Config) -> None:
    """Limit requests and unsent bytes; register before all else that changes responses, since that must run last."""
    token, address = Limit("token", settings.rest_per_token), Limit("address", settings.rest_per_address)
    policy = ", ".join(f'"{each.name}";q={each.per_second};w=1' for each in (token, address))
    app.extensions["limits"] = Limits(token, address, policy)
    app.extensions["unsent_bytes"] = Counter[str]()
    app.before_request(_limit_address)
    app.after_request(_limit_unsent_bytes)
    app.after_request(_add_headers)


def limits() -> Limits:
    return cast(Limits, current_app.extensions["limits"])


def charge_token(key: str, requests: int) -> None:
    """Count `requests` more for a token whose present request turned out to cost more than one."""
    limits().token.charge(key, requests)


def _limit_address() -> None:
    if request.path not in UNLIMITED_PATHS:
        take(limits().address, address_key(request.remote_addr or ""))


def take(limit: Limit, key: str) -> None:
    """Count the present request. Raises TooManyRequests."""
    g.limit_key, left = key, limit.take(key)
    if left is None:
        metrics.LIMITED.labels(limit.name).inc()
        g.limits_left = [(limit.name, 0)]
        raise TooManyRequests(f"More than {limit.per_second} requests a second for this {limit.name}.")
    g.setdefault("limits_left", []).append((limit.name, left))


def _limit_unsent_bytes(response: Response) -> Response:
    """Refuse a response to a caller that has left too much unread; a response counts until it is sent or abandoned."""
    size = response.content_length or 0
    if size < MIN_COUNTED_BYTES:
        return response
    unsent: Counter[str] = current_app.extensions["unsent_bytes"]
    caller = g.get("limit_key") or address_key(request.remote_addr or "")
    if unsent[caller] and unsent[caller] + size > MAX_UNSENT_BYTES:
        metrics.LIMITED.labels("open answers").inc()
        response.close()
        return problem(TooManyOpenAnswers())
    unsent[caller] += size

    def close() -> None:
        unsent[caller] -= size
        if unsent[caller] <= 0:
            del unsent[caller]

    response.call_on_close(close)
    return response


def _add_headers(response: Response) -> Response:
    """RateLimit fields as in draft-ietf-httpapi-ratelimit-headers, of the limit with the fewest requests left."""
    limits_left = g.get("limits_left")
    if limits_left:
        name, left = min(limits_left, key=lambda each: each[1])
        response.headers["RateLimit-Policy"] = limits().policy
        response.headers["RateLimit"] = rate_limit(name, left)
    return response


def rate_limit(name: str, left: int) -> str:
    return f'"{name}";r={left};t=1'


@lru_cache(maxsize=10_000)
def address_key(address: str) -> str:
    """The key under which an address is limited: an IPv6 subscriber holds a whole /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    is_v4 = isinstance(parsed, ipaddress.IPv4Address)
    return str(parsed if is_v4 else ipaddress.ip_network((parsed, 64), strict=False))


def start_sharing(app: Flask) -> None:
    """Share this process's usage with the other web processes, in the background."""

    def share_forever() -> None:
        while True:
            runtime.sleep(SYNC_SECONDS)
            share(app)

    runtime.spawn(share_forever)


def share_with_requests(app: Flask) -> None:
    """Share usage under a server that may fork: a request starts a thread if the last exchange is 0.5 s old."""
    wsgi_app, share_at = app.wsgi_app, 0.0

    def share_when_due(environ: dict[str, Any], start_response: Any) -> Any:
        nonlocal share_at
        if time.monotonic() >= share_at:
            share_at = time.monotonic() + SYNC_SECONDS
            threading.Thread(target=share, args=(app,), daemon=True).start()
        return wsgi_app(environ, start_response)

    app.wsgi_app = share_when_due  # type: ignore[method-assign]


def share(app: Flask) -> None:
    """Publish what was used here, and count what was used elsewhere. After a failure the next exchange tries again."""
    with app.app_context():
        both = (limits().token, limits().address)
        uses = [(limit, key, used) for limit in both for key, used in limit.take_busy_usage().items()]
        if not uses:
            return
        try:
            with redis_client().pipeline(transaction=False) as pipe:
                for limit, key, used in uses:
                    name = f"limit:{limit.name}:{hashlib.sha256(key.encode()).hexdigest()[:32]}"
                    pipe.incrby(name, used)
                    pipe.expire(name, KEY_LIFETIME_SECONDS)
                totals = pipe.execute()[::2]
            for (limit, key, used), total in zip(uses, totals, strict=True):
                limit.add_usage_elsewhere(key, used, int(total))
        except redis.RedisError as error:
            metrics.LIMITS_UNSHARED.inc()
            logger.warning("limits.share_failed", extra={"error": str(error)})
        except Exception:
            logger.exception("limits.share_failed")
