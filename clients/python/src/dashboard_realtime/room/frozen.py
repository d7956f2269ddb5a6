"""Read-only JSON: what a room gives to its readers is shared between states, so nobody may change it."""

from typing import Any, NoReturn


class FrozenDict(dict[str, Any]):
    """A dict that refuses changes; `dict(each)` makes a copy that can be changed."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("A room's state is read-only: copy it with dict(…) first.")

    __setitem__ = __delitem__ = update = clear = pop = popitem = setdefault = _refuse
    __ior__ = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)


def freeze(value: Any) -> Any:
    """A read-only copy of a JSON value; its lists become tuples."""
    if isinstance(value, FrozenDict):
        return value
    if isinstance(value, dict):
        return FrozenDict({key: freeze(each) for key, each in value.items()})
    if isinstance(value, list):
        return tuple(freeze(each) for each in value)
    return value
