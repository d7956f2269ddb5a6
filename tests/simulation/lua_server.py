"""A Redis server within this process: `store.lua` and `server.lua` in a Lua interpreter, with a clock that tests set.

Lua runs in LuaJIT, or in Lua 5.1 as in Redis, which is slower. A command takes a few microseconds.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import hiredis
import lupa.lua51
import lupa.luajit21
from redis.connection import DefaultParser

FOLDER = Path(__file__).parent
INTERPRETERS = {"luajit": lupa.luajit21, "lua51": lupa.lua51}

Published = list[list[bytes]]
"""Channel and message."""


@cache
def _interpreter(name: str) -> Any:
    return INTERPRETERS[name].LuaRuntime(encoding=None, register_eval=False, register_builtins=False)


def encoded(arguments: tuple[Any, ...]) -> list[bytes]:
    """As redis-py sends them."""
    return [each if type(each) is bytes else str(each).encode() for each in arguments]


class LuaServer:
    """One server's memory, clock (`wall`, microseconds since 1970) and listeners."""

    def __init__(self, interpreter: str = "luajit") -> None:
        lua = _interpreter(interpreter)
        load = lua.eval(b"function(text, name, ...) return assert(loadstring(text, name))(...) end")
        store = load((FOLDER / "store.lua").read_bytes(), b"@store.lua")
        load((FOLDER / "collections.lua").read_bytes(), b"@collections.lua", store)
        self._server = load((FOLDER / "server.lua").read_bytes(), b"@server.lua", store)
        self._execute = self._server[b"execute"]
        self._set_time = self._server[b"set_time"]
        self._reader = hiredis.Reader()
        self._scripts: set[bytes] = set()
        self.wall = 0

    def execute(self, wall: int, command: tuple[Any, ...]) -> tuple[Any, Published]:
        """The reply (an error is an exception in its place) and what was published."""
        if wall != self.wall:
            self.wall = wall
            self._set_time(wall)
        words = encoded(command)
        name = words[0]
        if name == b"SCRIPT":
            return self._load_script(*words[1:]), []
        if name == b"EVALSHA":
            words[2] = int(words[2])  # type: ignore[call-overload]
        self._reader.feed(self._execute(*words))
        reply = self._reader.gets()
        if isinstance(reply, hiredis.ReplyError):
            reply = DefaultParser.parse_error(str(reply))
        return reply, self._reader.gets()

    def _load_script(self, _load: bytes, source: bytes) -> bytes:
        sha = hashlib.sha1(source, usedforsecurity=False).hexdigest().encode()
        self._server[b"load"](sha, source)
        return sha

    def listen(self, channel: str, count: int) -> None:
        self._server[b"listen"](channel.encode(), count)

    def saved(self) -> Any:
        """A copy of the memory."""
        return self._server[b"saved"]()

    def restart(self, server_id: str, memory: Any = None) -> None:
        """Start again as another process with this older memory, or with an empty one."""
        if memory is None:
            self._execute(b"FLUSHALL")
        else:
            self._server[b"restore"](memory)
        self._server[b"set_server_id"](server_id.encode())
        self._server[b"forget_scripts"]()
