"""Many reports at once: each that can be taken is taken, and what is wrong with the rest is told by its place."""

from operator import itemgetter
from typing import Any

import redis
from marshmallow import ValidationError

from app.agents import progress
from app.agents.progress import Failure, Update
from app.agents.schemas import BatchUpdate
from app.auth.tokens import Principal
from app.core.errors import DomainError
from app.http.problems import flatten_messages

_schema = BatchUpdate()


def report(updates: list[Any], principal: Principal) -> dict[str, Any]:
    """Accept what can be of a batch and say what is wrong with the rest, by index.

    Raises what stood in the way when that was nothing but the moment (a full queue, a dependency that is down).
    """
    valid, rejected = _validated(updates, principal)

    def answer(failed: list[Failure]) -> dict[str, Any]:
        told = [{"index": place, "errors": {"status": [_words(error)]}} for place, error in failed]
        return {
            "accepted": len(valid) - len(failed),
            "rejected": sorted([*rejected, *told], key=itemgetter("index")),
        }

    return progress.take(valid, answer)


def _words(error: DomainError | redis.RedisError) -> str:
    return error.detail if isinstance(error, DomainError) else "Redis did not answer."


def _validated(updates: list[Any], principal: Principal) -> tuple[list[Update], list[dict[str, Any]]]:
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
            valid.append(Update(index, agent_id, fields))
    return valid, rejected
