"""`Client` and `AsyncClient`: a typed call for every REST operation."""

import asyncio
import time
from typing import Any

import httpx

from dashboard_realtime.addresses import base_url
from dashboard_realtime.errors import DashboardError
from dashboard_realtime.rest.async_calls import AsyncCalls
from dashboard_realtime.rest.pages import AsyncPages, Pages
from dashboard_realtime.rest.requests import TIMEOUT_SECONDS, Operation, Request, Result, Retries, decode, prepare
from dashboard_realtime.rest.sync_calls import SyncCalls
from dashboard_realtime.retrying import error_of, unreachable
from dashboard_realtime.tokens import Token, TokenSource

RETRIES = 4


class Client(SyncCalls):
    """Calls the API; for several threads.

        with Client(url, token) as client:
            for finding in client.list_vulnerabilities("P1", status="PENDING"):
                client.confirm_vulnerability(finding["id"])

    Refusals are raised as ApiError, with `code`, `errors` and `retry_after`; a missing response as Unreachable.
    Requests that take effect at most once (GET, and POST with the Idempotency-Key that each gets by itself) are sent up
    to `retries` times more after 429, 5xx or no response, respecting `Retry-After`. `token` may be a function that
    returns the current token. `http`: further arguments for httpx.Client, such as `verify`.
    """

    def __init__(
        self,
        url: str,
        token: Token | TokenSource | None = None,
        *,
        timeout: float = TIMEOUT_SECONDS,
        retries: int = RETRIES,
        http: dict[str, Any] | None = None,
    ) -> None:
        self._token = token if isinstance(token, TokenSource) else TokenSource(token) if token else None
        self._retries = retries
        self._http = httpx.Client(**{"base_url": base_url(url), "timeout": timeout, **(http or {})})

    def __repr__(self) -> str:
        return f"<Client at {self._http.base_url}>"

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def call(self, operation: Operation[Result], **request: Any) -> Result:
        """Call an operation by its description, with `path`, `query`, `body` and `idempotency_key`."""
        result: Result = decode(operation, self._send(prepare(operation, **request)))
        return result

    def _pages(self, operation: Operation[Result], **request: Any) -> Pages[Result]:
        return Pages(operation, request, self._send)

    def _send(self, request: Request) -> httpx.Response:
        retries = Retries(request, self._retries)
        while True:
            try:
                return self._attempt(request)
            except DashboardError as error:
                pause = retries.pause_after(error)
            time.sleep(pause)

    def _attempt(self, request: Request) -> httpx.Response:
        headers = request.headers_with(self._token.get_blocking() if self._token else None)
        try:
            response = self._http.request(
                request.method, request.path, params=request.query, json=request.body, headers=headers
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise unreachable(error) from error
        if not response.is_success:
            raise error_of(response)
        return response


class AsyncClient(AsyncCalls):
    """As `Client`, for `async with`: `await client.get_pool("P1")`, `async for agent in client.list_agents()`."""

    def __init__(
        self,
        url: str,
        token: Token | TokenSource | None = None,
        *,
        timeout: float = TIMEOUT_SECONDS,
        retries: int = RETRIES,
        http: dict[str, Any] | None = None,
    ) -> None:
        self._token = token if isinstance(token, TokenSource) else TokenSource(token) if token else None
        self._retries = retries
        self._http = httpx.AsyncClient(**{"base_url": base_url(url), "timeout": timeout, **(http or {})})

    def __repr__(self) -> str:
        return f"<AsyncClient at {self._http.base_url}>"

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def call(self, operation: Operation[Result], **request: Any) -> Result:
        result: Result = decode(operation, await self._send(prepare(operation, **request)))
        return result

    def _pages(self, operation: Operation[Result], **request: Any) -> AsyncPages[Result]:
        return AsyncPages(operation, request, self._send)

    async def _send(self, request: Request) -> httpx.Response:
        retries = Retries(request, self._retries)
        while True:
            try:
                return await self._attempt(request)
            except DashboardError as error:
                pause = retries.pause_after(error)
            await asyncio.sleep(pause)

    async def _attempt(self, request: Request) -> httpx.Response:
        headers = request.headers_with(await self._token.get() if self._token else None)
        try:
            response = await self._http.request(
                request.method, request.path, params=request.query, json=request.body, headers=headers
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise unreachable(error) from error
        if not response.is_success:
            raise error_of(response)
        return response
