"""Tokens: constant ones or functions that return one, and the claims that this package reads from them."""

import asyncio
import base64
import concurrent.futures
import inspect
import json
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from dashboard_realtime.errors import Unreachable

MIN_RENEWAL_SECONDS = 1.0
TOKEN_SECONDS = 30.0  # for an async function in another thread

Token = str | Callable[[], str | Awaitable[str]]
"""A token, or a function, also an async one, that returns the current token."""


class TokenSource:
    """Gives the current token; its `repr` shows none."""

    def __init__(self, token: Token) -> None:
        self._token = token
        self.loop: asyncio.AbstractEventLoop | None = None  # where `get_blocking` runs an async function

    def __repr__(self) -> str:
        return "<TokenSource>"

    @property
    def is_renewable(self) -> bool:
        return callable(self._token)

    async def get(self) -> str:
        """Raises Unreachable if the function fails: it is asked again later."""
        try:
            value = self._token() if callable(self._token) else self._token
            return await value if inspect.isawaitable(value) else value
        except Exception as error:  # the user's function may raise anything; its text may hold a secret
            raise _failed(error) from error

    def get_blocking(self) -> str:
        """As `get`, for a thread without a loop."""
        if not callable(self._token):
            return self._token
        if self.loop is None or not self.loop.is_running():
            return asyncio.run(self.get())
        try:
            return asyncio.run_coroutine_threadsafe(self.get(), self.loop).result(TOKEN_SECONDS)
        except concurrent.futures.TimeoutError as error:
            raise _failed(error) from error


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a JWT, unverified; empty if it is none."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def renewal_pause(token: str, before: float) -> float | None:
    """The seconds after which to ask for the successor of this token, `before` its end; None if it tells no end."""
    expires_at = claims_of(token).get("exp")
    if not isinstance(expires_at, (int, float)):
        return None
    left = expires_at - time.time()
    # Many clients have tokens that were issued together.
    return max(MIN_RENEWAL_SECONDS, max(left - before, left / 2) * random.uniform(0.9, 1))  # noqa: S311


def _failed(error: Exception) -> Unreachable:
    return Unreachable(f"The token's function failed: {type(error).__name__}")
