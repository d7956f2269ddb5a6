"""Lists, page by page: `for item in client.list_agents()`, or `.pages()`, or `.csv()` where the API offers it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, Generic

import httpx

from dashboard_realtime.rest.requests import Operation, Request, Result, decode, prepare


class _Listing(Generic[Result]):
    """`limit` is the number of items a page; `cursor` is where to begin."""

    def __init__(self, operation: Operation[Result], request: Mapping[str, Any]) -> None:
        self._operation, self._request = operation, dict(request)

    def _page(self, cursor: str | None) -> Request:
        query = dict(self._request.get("query") or {})
        return prepare(self._operation, **{**self._request, "query": query | {"cursor": cursor or query.get("cursor")}})

    def _csv(self) -> Request:
        query = {
            name: value for name, value in self._request.get("query", {}).items() if name not in ("limit", "cursor")
        }
        return prepare(self._operation, **{**self._request, "query": query}, accept="text/csv")


class Pages(_Listing[Result]):
    def __init__(
        self, operation: Operation[Result], request: Mapping[str, Any], send: Callable[[Request], httpx.Response]
    ) -> None:
        super().__init__(operation, request)
        self._send = send

    def __iter__(self) -> Iterator[Result]:
        for page in self.pages():
            yield from page

    def pages(self) -> Iterator[list[Result]]:
        cursor: str | None = None
        while True:
            page = decode(self._operation, self._send(self._page(cursor)))
            yield page["items"]
            cursor = page["nextCursor"]
            if cursor is None:
                return

    def csv(self) -> str:
        """The whole selection as CSV, whatever the page; for lists that the API exports."""
        return self._send(self._csv()).text


class AsyncPages(_Listing[Result]):
    def __init__(
        self,
        operation: Operation[Result],
        request: Mapping[str, Any],
        send: Callable[[Request], Awaitable[httpx.Response]],
    ) -> None:
        super().__init__(operation, request)
        self._send = send

    async def __aiter__(self) -> AsyncIterator[Result]:
        async for page in self.pages():
            for item in page:
                yield item

    async def pages(self) -> AsyncIterator[list[Result]]:
        cursor: str | None = None
        while True:
            page = decode(self._operation, await self._send(self._page(cursor)))
            yield page["items"]
            cursor = page["nextCursor"]
            if cursor is None:
                return

    async def csv(self) -> str:
        """The whole selection as CSV, whatever the page; for lists that the API exports."""
        return (await self._send(self._csv())).text
