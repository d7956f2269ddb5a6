"""A server in this process with one room: Socket.IO, streams and `/state`, all as a test says."""

import asyncio
import copy
import json
import threading
from collections.abc import Callable
from typing import Any

import socketio
from aiohttp import web
from tests.support.machine_speed import patience

# The times of a room that does not wait long, in seconds, and its token.
FAST = {"rest": 0.05, "jitter": 0.02, "retry": 0.05, "retry_cap": 0.2, "silence": 0.3, "answer": 0.3}
TOKEN = "T"
AT = "2026-11-22T20:30:00.123Z"
AMOUNTS = ("total", "available", "reserved", "paid")
TASK = {"task": "Scan", "status": "RUNNING", "estimatedCompletion": None, "error": None, "nextTask": None}
POOL = {"protocolId": "P1", "currency": "USDC", "version": "0"} | dict.fromkeys(AMOUNTS, "0.00")
STATE: dict[str, Any] = {
    "protocol": {"id": "P1", "name": "One", "currency": "USDC", "createdAt": AT},
    "seq": "10",
    "asOf": AT,
    "pool": POOL,
    "agents": [],
    "agentsTruncated": False,
    "vulnerabilities": {"open": [], "openTruncated": False, "counts": {"total": "0", "byStatus": {}, "bySeverity": {}}},
    "payments": [],
}


def deposit(seq: int, total: str, version: int) -> dict[str, Any]:
    pool = {
        "changeType": "DEPOSIT",
        "amount": "1.00",
        "total": total,
        "available": total,
        "reserved": "0.00",
        "paid": "0.00",
    }
    return event(seq, "bounty_pool:updated", {**pool, "currency": "USDC", "version": str(version)})


def progress(seq: int, percent: int, version: int, agent_id: str = "A1") -> dict[str, Any]:
    return event(
        seq, "agent:task_update", {"agentId": agent_id, **TASK, "progress": str(percent), "version": str(version)}
    )


def event(seq: int, name: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"eventType": name, "timestamp": AT, "protocolId": "P1", "seq": str(seq), "data": data}


class ScriptedRoom:
    """Started by `with`. Its methods may be called from the test's thread."""

    def __init__(self) -> None:
        self.state = copy.deepcopy(STATE)
        self.refusal: tuple[str, dict[str, str]] | None = None  # of a connection
        self.problems: list[tuple[int, dict[str, str]]] = []  # the status and headers of the next refusals of `/state`
        self.answers_pings = True
        self.on_state: Callable[[], None] = lambda: None  # while `/state` is asked
        self.handshakes: list[dict[str, Any]] = []
        self.renewals: list[str] = []
        self.fetches: list[dict[str, str]] = []  # the headers
        self.not_modified = 0
        self.streams: list[web.StreamResponse] = []
        self._sids: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: Any = None
        self.url = ""

    def __enter__(self) -> "ScriptedRoom":
        self._thread.start()
        self._do(self._serve())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(patience(5))

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(patience(10))

    async def _serve(self) -> None:
        self._server = socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins=[])
        self._server.on("connect", self._connect)
        self._server.on("*", self._client_event)
        app = web.Application()
        self._server.attach(app)
        app.router.add_get("/api/v1/protocols/{protocolId}/state", self._get_state)
        app.router.add_get("/api/v1/protocols/{protocolId}/events", self._stream)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _close(self) -> None:
        await self._runner.cleanup()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connect(self, sid: str, _environ: Any, auth: Any) -> None:
        self.handshakes.append(auth)
        if self.refusal:
            raise socketio.exceptions.ConnectionRefusedError(*self.refusal)
        self._sids.append(sid)

    async def _client_event(self, name: str, _sid: str, message: Any = None) -> Any:
        if name == "session:ping" and not self.answers_pings:
            await asyncio.sleep(3600)
        if name == "session:renew":
            self.renewals.append(message["token"])
        if name == "protocol:join" and message["protocolId"] == "nowhere":
            return {"ok": False, "error": {"code": "INVALID_PROTOCOL", "detail": "There is no such protocol."}}
        return {"ok": True}

    async def _get_state(self, request: web.Request) -> web.Response:
        self.fetches.append(dict(request.headers))
        if self.problems:
            status, headers = self.problems.pop(0)
            return web.json_response({"code": f"CODE_{status}", "detail": "no"}, status=status, headers=headers)
        body = json.dumps(
            {**self.state, "protocol": {**self.state["protocol"], "id": request.match_info["protocolId"]}}
        )
        tag = f'W/"{hash(body)}"'
        if request.headers.get("If-None-Match") == tag:
            self.not_modified += 1
            return web.Response(status=304, headers={"ETag": tag})
        await asyncio.to_thread(self.on_state)
        return web.Response(text=body, content_type="application/json", headers={"ETag": tag})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self.handshakes.append({"token": request.headers["Authorization"].removeprefix("Bearer ")})
        if self.refusal:
            return web.json_response({"code": self.refusal[0], "detail": "no"}, status=401)
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await stream.write(_frame("state", self.state, self.state["seq"]))
        self.streams.append(stream)
        while stream in self.streams:  # noqa: ASYNC110 - ended from the test's thread
            await asyncio.sleep(0.01)
        return stream

    def emit(self, *events: dict[str, Any]) -> None:
        """Send events to every connection."""
        self._do(self._emit(events))

    async def _emit(self, events: tuple[dict[str, Any], ...]) -> None:
        for each in events:
            for sid in self._sids:
                await self._server.emit(each["eventType"], each, to=sid)
            for stream in self.streams:
                await stream.write(_frame(each["eventType"], each, each["seq"]))

    def send_state(self) -> None:
        """Send the state to every stream, as a server that saw a gap does."""

        async def send() -> None:
            for stream in self.streams:
                await stream.write(b": still here\n\n" + _frame("state", self.state, self.state["seq"]))

        self._do(send())

    def disconnect(self) -> None:
        """End every connection from the server's side."""

        async def end() -> None:
            sids, self._sids = self._sids, []
            self.streams.clear()
            for sid in sids:
                await self._server.disconnect(sid)

        self._do(end())

    @property
    def connections(self) -> int:
        return len(self._sids) + len(self.streams)


def _frame(name: str, data: Any, seq: str) -> bytes:
    return f"event: {name}\nid: {seq}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
