"""REST limits per token and per address: decided in memory, shared between processes in the background.

A request costs no round trip. Each process counts in a bucket per key that fills at the limit's rate and holds one
second of it, so nobody who stays below the limit in every second is refused. Twice a second the processes tell each
other, through Redis, what their busy keys have used. While Redis is down each process grants the full limit by itself
(`dashboard_limits_unshared_total`): a limiter must not be what takes the service down.
"""

import hashlib
import ipaddress
import logging
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
SHARED_FROM = 0.05
KEY_LIFETIME_SECONDS = 10
OPEN_BYTES = 16 * 1024 * 1024
COUNTED_FROM = 64 * 1024
UNLIMITED_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
IPV6_PREFIX = 64


class Limit:
    """So many requests a second for each key; GCRA, of which one number per key is all there is to keep.

    `_full_at[key]` is the moment at which the key's bucket will be full again; one that is past need not be kept.
    """

    def __init__(self, name: str, per_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.name, self.per_second, self._clock = name, per_second, clock
        self._full_at: dict[str, float] = {}
        self._used: dict[str, int] = {}
        self._told: dict[str, int] = {}

    def take(self, key: str) -> int | None:
        """Spend one request; returns how many are left at this moment, or None when there was none."""
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now) + 1 / self.per_second
        left = 1 - (full_at - now)
        if left < -1e-9:  # noqa: PLR2004 - the rounding of a thousand additions
            return None
        self._full_at[key] = full_at
        self._used[key] = self._used.get(key, 0) + 1
        return int(left * self.per_second + 1e-6)

    def charge(self, key: str, count: int) -> None:
        """Spend more for a request that is being answered: later ones wait for it, this one does not."""
        now = self._clock()
        self._full_at[key] = max(self._full_at.get(key, now), now) + count / self.per_second
        self._used[key] = self._used.get(key, 0) + count

    def near_limit(self) -> dict[str, int]:
        """What each busy key has used since the last call: only those are worth telling others of."""
        now = self._clock()
        self._full_at = {key: moment for key, moment in self._full_at.items() if moment > now}
        used, self._used = self._used, {}
        worth = self.per_second * SHARED_FROM * SYNC_SECONDS
        busy = {key: count for key, count in used.items() if count > worth}
        self._told = {key: total for key, total in self._told.items() if key in busy}
        return busy

    def learn(self, key: str, used_here: int, used_by_all: int) -> None:
        """Charge what other processes have let through since the last time, as if at that time's very beginning."""
        before = self._told.get(key)
        self._told[key] = used_by_all
        elsewhere = used_by_all - used_here - (used_by_all - used_here if before is None else before)
        if elsewhere > 0:
            since = self._clock() - SYNC_SECONDS
            self._full_at[key] = max(self._full_at.get(key, since), since) + elsewhere / self.per_second


@dataclass(frozen=True)
class Limits:
    token: Limit
    address: Limit
    policy: str


def init_app(app: Flask, settings: Config) -> None:
    token, address = Limit("token", settings.rest_per_token), Limit("address", settings.rest_per_address)
    policy = ", ".join(f'"{each.name}";q={each.per_second};w=1' for each in (token, address))
    app.extensions["limits"] = Limits(token, address, policy)
    app.before_request(_limit_address)
    app.after_request(_tell)


def init_open_answers(app: Flask) -> None:
    """Count what is being sent to each caller; before all else that changes answers, since the first comes last."""
    app.extensions["open_answers"] = Counter[str]()
    app.after_request(_count_open_answer)


def _count_open_answer(response: Response) -> Response:
    """Refuse an answer to a caller that leaves too much of earlier ones unread. It counts until it is sent or given up.

    Kept by each process for itself, since it is for that process's memory.
    """
    size = response.content_length or 0
    if size < COUNTED_FROM:
        return response
    present: Counter[str] = current_app.extensions["open_answers"]
    caller = g.get("budget_key") or address_key(request.remote_addr or "")
    if present[caller] and present[caller] + size > OPEN_BYTES:
        metrics.LIMITED.labels("open answers").inc()
        response.close()
        return problem(TooManyOpenAnswers())
    present[caller] += size

    def close() -> None:
        present[caller] -= size
        if present[caller] <= 0:
            del present[caller]

    response.call_on_close(close)
    return response


def limits() -> Limits:
    return cast(Limits, current_app.extensions["limits"])


def limit_token(key: str) -> None:
    """Count the present request for the token that sends it. Raises TooManyRequests."""
    g.budget_key = key
    _spend(limits().token, key)


def charge_token(key: str, requests: int) -> None:
    """Count so many more requests for the token of the present one, for what it turned out to cost."""
    limits().token.charge(key, requests)


def _limit_address() -> None:
    if request.path not in UNLIMITED_PATHS:
        _spend(limits().address, address_key(request.remote_addr or ""))


def _spend(limit: Limit, key: str) -> None:
    left = limit.take(key)
    if left is None:
        metrics.LIMITED.labels(limit.name).inc()
        g.limits_left = [(limit.name, 0)]
        raise TooManyRequests(f"More than {limit.per_second} requests a second for this {limit.name}.")
    g.setdefault("limits_left", []).append((limit.name, left))


def _tell(response: Response) -> Response:
    """RateLimit fields as in draft-ietf-httpapi-ratelimit-headers: the limit that is nearest to its end."""
    told = g.get("limits_left")
    if told:
        name, left = min(told, key=lambda each: each[1])
        response.headers["RateLimit-Policy"] = limits().policy
        response.headers["RateLimit"] = rate_limit(name, left)
    return response


def rate_limit(name: str, left: int) -> str:
    """The `RateLimit` field: how many requests a budget has left in this second."""
    return f'"{name}";r={left};t=1'


@lru_cache(maxsize=10_000)
def address_key(address: str) -> str:
    """Whom an address stands for: an IPv6 subscriber holds a whole /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))


def start_sharing(app: Flask) -> None:
    """Keep this process's limits in step with the others'; for web processes."""
    runtime.spawn(_share_forever, app)


def _share_forever(app: Flask) -> None:
    while True:
        runtime.sleep(SYNC_SECONDS)
        try:
            share(app)
        except Exception:  # the next round tries again
            logger.exception("limits.failed")


def share(app: Flask) -> None:
    """Tell the other processes what was used here, and learn what was used there."""
    with app.app_context():
        counted = [(limit, limit.near_limit()) for limit in (limits().token, limits().address)]
        uses = [(limit, key, used) for limit, busy in counted for key, used in busy.items()]
        try:
            for (limit, key, used), total in zip(uses, _add_up(uses), strict=True):
                limit.learn(key, used, total)
        except redis.RedisError as error:
            metrics.LIMITS_UNSHARED.inc()
            logger.warning("limits.unshared", extra={"error": str(error)})


def _add_up(uses: list[tuple[Limit, str, int]]) -> list[int]:
    if not uses:
        return []
    with redis_client().pipeline(transaction=False) as pipe:
        for limit, key, used in uses:
            name = f"limit:{limit.name}:{hashlib.sha256(key.encode()).hexdigest()[:32]}"
            pipe.incrby(name, used)
            pipe.expire(name, KEY_LIFETIME_SECONDS)
        answers: list[Any] = pipe.execute()
    return [int(total) for total in answers[::2]]
