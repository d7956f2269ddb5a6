"""The Lua operations, loaded by file name and registered once per Redis client."""

from functools import cache
from importlib.resources import files
from typing import Any

from app.extensions import redis_client

_NEEDS = {
    "publish": ("clock", "room", "batch", "turn"),
    "drain": ("clock", "room", "batch", "turn"),
    "offer": ("clock",),
    "reserve": ("clock",),
    "enter": ("clock",),
    "seq": ("clock",),
}


@cache
def source(operation: str) -> str:
    """The text of an operation with the shared parts it needs in front."""
    folder = files("app.realtime") / "lua"
    names = (*_NEEDS[operation], operation)
    return "\n".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)


def run(operation: str, *args: Any) -> Any:
    """Run one operation atomically in Redis. Raises redis.RedisError."""
    client = redis_client()
    script = client.register_script(source(operation))
    return script(args=args)
