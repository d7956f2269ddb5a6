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
import redis
from redis.connection import DefaultParser

FOLDER = Path(__file__).parent
INTERPRETERS = {"luajit": lupa.luajit21, "lua51": lupa.lua51}


@cache
def _interpreter(name: str) -> Any:
    made = INTERPRETERS[name].LuaRuntime(encoding="utf-8", register_eval=False, register_builtins=False)
    if name == "luajit":
        made.eval("require('jit').off()")  # the scripts are too short for it
    made.eval("collectgarbage('setpause', 400)")  # at four times what is in use, instead of at twice
    return made


@cache
def _compiled(interpreter: str, source: str) -> tuple[str, Any]:
    """A script's hash and its function, which all servers share."""
    sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    compile_ = _interpreter(interpreter).eval("function(text, name) return assert(loadstring(text, name)) end")
    return sha, compile_(source, "@" + sha)


class Reply:
    """A reply as bytes, as the application gets it, and as text; and the published channels and messages as text."""

    __slots__ = ("published", "text", "value")

    def __init__(self, value: Any, text: Any, published: list[list[str]]) -> None:
        self.value, self.text, self.published = value, text, published


class LuaServer:
    """One server's memory, clock (`wall`, microseconds since 1970) and listeners."""

    def __init__(self, interpreter: str = "luajit") -> None:
        self._interpreter = interpreter
        store = self._load("store")
        self._load("collections", store)
        self._server = self._load("server", store)
        self._load("contents", store, self._server)
        self._execute, self._set_time = self._server["execute"], self._server["set_time"]
        self._reader, self._text_reader = hiredis.Reader(), hiredis.Reader(encoding="utf-8")
        self._key_sets: dict[tuple[str, ...], int] = {}
        self.wall = 0

    def _load(self, name: str, *args: Any) -> Any:
        load = _interpreter(self._interpreter).eval("function(text, name, ...) return loadstring(text, name)(...) end")
        return load((FOLDER / f"{name}.lua").read_text("utf-8"), f"@{name}.lua", *args)

    def execute(self, wall: int, command: tuple[Any, ...]) -> Reply:
        """An error reply is an exception in its place."""
        if wall != self.wall:
            self.wall = wall
            self._set_time(wall)
        if command[0] == "EVALSHA":
            keys = command[3 : 3 + command[2]]
            number = self._key_sets.get(keys) or self._declare(keys)
            if isinstance(number, str):
                return Reply(redis.ResponseError(number), None, [])
            answer = self._execute("EVALSHA", command[1], number, *command[3 + len(keys) :]).encode()
        elif command[0] == "SCRIPT":
            sha, function = _compiled(self._interpreter, command[2])
            self._server["load"](sha, function)
            return Reply(sha.encode(), sha, [])
        else:
            answer = self._execute(*command).encode()
        self._reader.feed(answer)
        self._text_reader.feed(answer)
        value, _ = self._reader.gets(), self._reader.gets()
        text, published = self._text_reader.gets(), self._text_reader.gets()
        if isinstance(value, hiredis.ReplyError):
            value = DefaultParser.parse_error(str(value))
        return Reply(value, text, published)

    def _declare(self, keys: tuple[str, ...]) -> Any:
        number = self._server["declare"](*keys)
        if not isinstance(number, str):
            self._key_sets[keys] = number
        return number

    def leave_cluster(self) -> None:
        """Take commands with keys of several slots from now on."""
        self._server["leave_cluster"]()

    def listen(self, channel: str, count: int) -> None:
        self._server["listen"](channel, count)

    def contents(self) -> dict[str, tuple[str, Any]]:
        """Every key's kind and value."""
        self._text_reader.feed(self._server["dump"]().encode())
        found: dict[str, tuple[str, Any]] = {}
        for name, kind, values in self._text_reader.gets():
            if kind == "hash":
                found[name] = kind, dict(zip(values[::2], values[1::2], strict=True))
            elif kind == "zset":
                found[name] = kind, {each: int(at) for each, at in zip(values[::2], values[1::2], strict=True)}
            elif kind != "none":
                found[name] = kind, values if kind == "list" else values[0]
        return found

    def dump(self, wall: int) -> dict[str, Any]:
        """Every key's value at this time."""
        LuaServer.execute(self, wall, ("PING",))
        return {name: value for name, (_, value) in self.contents().items()}

    def expired(self) -> list[str]:
        """Delete the keys that have expired; returns their names."""
        self._text_reader.feed(self._server["expired"]().encode())
        return list(self._text_reader.gets())

    def saved(self) -> Any:
        """A copy of the memory."""
        return self._server["saved"]()

    def restart(self, server_id: str) -> None:
        """Another process with the same memory."""
        self._server["set_server_id"](server_id)
        self._server["forget_scripts"]()

    def restore(self, memory: Any) -> None:
        """Go back to what was `saved`; to an empty memory if it is None."""
        if memory is None:
            self._execute("FLUSHALL")
        else:
            self._server["restore"](memory)
