"""Many reports at once: each that can be taken is taken, and what is wrong with the rest is told by its place."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import count, groupby
from operator import itemgetter
from typing import Any, NamedTuple

import redis
from marshmallow import ValidationError

from app.agents import progress
from app.agents.schemas import BatchUpdate
from app.auth.idempotency import FirstAnswer
from app.auth.tokens import Principal
from app.errors import Conflict, DomainError, flatten_messages
from app.realtime.coalescer import FINAL_STATUSES

_schema = BatchUpdate()


class _Update(NamedTuple):
    place: int
    agent_id: str
    fields: dict[str, Any]


_Failure = tuple[int, DomainError | redis.RedisError]


def report(updates: list[Any], principal: Principal) -> dict[str, Any]:
    """Accept what can be of a batch and say what is wrong with the rest, by index.

    Raises what stood in the way when that was nothing but the moment (a full queue, a dependency that is down).
    """
    valid, rejected = _validated(updates, principal)
    failed = _take(valid)
    if len(failed) == len(updates):
        raise failed[0][1]
    rejected += [{"index": place, "errors": {"status": [_words(error)]}} for place, error in failed]
    return {"accepted": len(valid) - len(failed), "rejected": sorted(rejected, key=itemgetter("index"))}


def _words(error: DomainError | redis.RedisError) -> str:
    return error.detail if isinstance(error, DomainError) else "Redis did not answer."


def _validated(updates: list[Any], principal: Principal) -> tuple[list[_Update], list[dict[str, Any]]]:
    valid, rejected = [], []
    for index, update_fields in enumerate(updates):
        try:
            fields = _schema.load(update_fields)
            agent_id = fields.pop("agent_id")
            progress.check(agent_id, fields["protocol_id"], principal)
        except ValidationError as error:
            rejected.append({"index": index, "errors": flatten_messages(error.messages_dict)})
        except DomainError as error:
            field = "protocolId" if error.code == "PROTOCOL_NOT_FOUND" else "agentId"
            rejected.append({"index": index, "errors": {field: [error.detail]}})
        else:
            valid.append(_Update(index, agent_id, fields))
    return valid, rejected


def _take(updates: list[_Update]) -> list[_Failure]:
    """Take a batch in order. Answers which could not be taken and why; what is before and after them is taken.

    Raises Conflict: the Idempotency-Key is another request's.
    """
    failed: list[_Failure] = []
    closings = count()
    for some in _at_once(updates):
        try:
            if _is_final(some[0]):
                _close(some[0], next(closings))
            else:
                progress.take_running([(each.agent_id, each.fields) for each in some])
        except Conflict:
            raise
        except (DomainError, redis.RedisError) as error:
            failed += [(each.place, error) for each in some]
    return failed


def _at_once(updates: list[_Update]) -> Iterator[list[_Update]]:
    """RUNNING ones that follow each other in one round trip, each closing one in a transaction of its own."""
    for is_final, run in groupby(updates, key=_is_final):
        if is_final:
            yield from ([each] for each in run)
        else:
            yield list(run)


def _is_final(update: _Update) -> bool:
    return update.fields["status"] in FINAL_STATUSES


def _close(update: _Update, number: int) -> None:
    """The number-th closing of its request, unless the request's Idempotency-Key has had it."""
    with suppress(FirstAnswer):
        progress.close(update.agent_id, update.fields, number)
