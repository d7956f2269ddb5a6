from collections.abc import Iterable
from decimal import Decimal
from typing import Any, ClassVar

from marshmallow import ValidationError, fields, validate, validates_schema

from app.agents.models import AgentType, TaskStatus
from app.core.pagination import PageQuery, page_schema
from app.core.schemas import CamelSchema, DescribingText, Identifier, Name, NumberText, Timestamp, doc
from app.core.values import AGENT, LATER, MOMENT, PROTOCOL, REASON_LENGTH

_ESTIMATE = doc("When the agent expects to complete the task.", LATER)


def _choice(values: Iterable[str], description: str, example: str, **options: Any) -> fields.String:
    return fields.String(validate=validate.OneOf(list(values)), metadata=doc(description, example), **options)


class AgentCreate(CamelSchema):
    id = Identifier(load_default=None, metadata=doc("An id of your choice; generated if omitted.", AGENT))
    name = Name(required=True, metadata=doc("Display name.", "Scanner 7"))
    type = _choice(AgentType, "Kind of agent.", "RESEARCHER", required=True)


class TaskState(CamelSchema):
    task = fields.String(required=True, metadata=doc("Name of the task.", "Symbolic execution of Vault.sol"))
    progress = NumberText(required=True, metadata=doc("Progress in per cent.", "65"))
    estimated_completion = Timestamp(required=True, allow_none=True, metadata=_ESTIMATE)
    version = NumberText(
        required=True,
        metadata=doc("Increases with every change; ignore a version that is not higher than the last.", "2"),
    )


class CurrentTaskSchema(TaskState):
    protocol_id = fields.String(metadata=doc("Id of the protocol.", PROTOCOL))
    status = _choice(["RUNNING", "FAILED"], "Status of the task.", "RUNNING")
    error = fields.Dict(allow_none=True, metadata=doc("Why the task failed; null otherwise.", None))


class AgentSchema(CamelSchema):
    id = fields.String(metadata=doc("Id of the agent.", AGENT))
    name = fields.String(metadata=doc("Display name.", "Scanner 7"))
    type = _choice(AgentType, "Kind of agent.", "RESEARCHER")
    status = _choice(["ONLINE", "OFFLINE"], "OFFLINE after 120 seconds without a report.", "ONLINE")
    last_seen = Timestamp(
        allow_none=True, metadata=doc("Time of the agent's last report; null if it never reported.", MOMENT)
    )
    current_task = fields.Nested(
        CurrentTaskSchema,
        allow_none=True,
        metadata=doc(
            "The running or failed task; null if the agent is idle or the token may not read its protocol.", None
        ),
    )
    created_at = Timestamp(metadata=doc("Time of creation.", MOMENT))


AgentPage = page_schema(AgentSchema)


class AgentQuery(PageQuery):
    protocol_id = Identifier(
        load_default=None, metadata=doc("Only agents whose last stored task belongs to this protocol.")
    )


class TaskCreate(CamelSchema):
    protocol_id = Identifier(required=True, metadata=doc("Id of the protocol.", PROTOCOL))
    name = Name(required=True, metadata=doc("Name of the task.", "Fuzzing of Pool.sol"))


class TaskQuery(PageQuery):
    closed = fields.Boolean(
        load_default=None,
        metadata=doc("true: only closed tasks, newest first. false: only open tasks, in queue order."),
    )


class TaskSchema(CamelSchema):
    id = NumberText(metadata=doc("Number of the task; increases in queue order.", "17"))
    agent_id = fields.String(metadata=doc("Id of the agent.", AGENT))
    protocol_id = fields.String(metadata=doc("Id of the protocol.", PROTOCOL))
    name = fields.String(metadata=doc("Name of the task.", "Fuzzing of Pool.sol"))
    status = _choice(TaskStatus, "Status of the task.", "QUEUED")
    created_at = Timestamp(metadata=doc("Time of creation.", MOMENT))
    started_at = Timestamp(allow_none=True, metadata=doc("When the agent started the task; null before.", None))
    closed_at = Timestamp(allow_none=True, metadata=doc("When the task was closed; null while it is open.", None))
    error = fields.Dict(
        allow_none=True, metadata=doc("Why the task failed: `code` and `message`; null otherwise.", None)
    )


TaskPage = page_schema(TaskSchema)


class Percentage(fields.Field[int | float]):
    """A JSON number from `minimum` to `maximum`, rounded to `decimals` places."""

    minimum, maximum, decimals = 0, 100, 2

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int | float:
        if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
            raise ValidationError(f"Must be a number from {self.minimum} to {self.maximum}.")
        if not self.minimum <= value <= self.maximum:
            raise ValidationError(f"Must be from {self.minimum} to {self.maximum}.")
        return round(float(value), self.decimals) if isinstance(value, float) else int(value)


class TaskErrorSchema(CamelSchema):
    code = DescribingText(
        64, load_default=None, allow_none=True, metadata=doc("The agent's code for the error.", "RPC_TIMEOUT")
    )
    message = DescribingText(
        REASON_LENGTH,
        required=True,
        metadata=doc(
            "What happened. Line ends become LF, other control characters and escape sequences are removed, and a text "
            "longer than 2,000 characters is cut and ends in `…`.",
            "RPC endpoint timed out",
        ),
    )


class TaskError(fields.Nested):
    """`{code?, message}`, or only the message as a string."""

    def _deserialize(self, value: Any, *context: Any, **kwargs: Any) -> Any:
        return super()._deserialize({"message": value} if isinstance(value, str) else value, *context, **kwargs)


class ProgressReport(CamelSchema):
    """The progress of an agent's task (contract: Progress report).

    The fast path is derived from these fields and from `REQUIRED` and `EXCLUDED`: each rule stands only here.
    """

    REQUIRED: ClassVar = {"RUNNING": {"progress"}, "FAILED": {"error"}}
    EXCLUDED: ClassVar = {"RUNNING": {"error"}, "COMPLETED": {"error"}}

    protocol_id = Identifier(required=True, metadata=doc("Id of the protocol.", PROTOCOL))
    task = Name(required=True, metadata=doc("Name of the task.", "Symbolic execution of Vault.sol"))
    progress = Percentage(
        load_default=None, metadata=doc("Progress in per cent; required if the status is RUNNING.", 65)
    )
    status = _choice(["RUNNING", "COMPLETED", "FAILED"], "Status of the task.", "RUNNING", load_default="RUNNING")
    estimated_completion = Timestamp(load_default=None, allow_none=True, metadata=_ESTIMATE)
    error = TaskError(
        TaskErrorSchema,
        load_default=None,
        allow_none=True,
        metadata=doc(
            "Why the task failed, required if the status is FAILED: the message, or an object with a code.", None
        ),
    )
    next_task = Name(load_default=None, allow_none=True, metadata=doc("Name of the agent's next task.", None))

    @validates_schema
    def _fields_fit_status(self, data: dict[str, Any], **_: Any) -> None:
        status = data["status"]
        for name in self.REQUIRED.get(status, ()):
            if data[name] is None:
                raise ValidationError(f"Required if the status is {status}.", name)
        for name in self.EXCLUDED.get(status, ()):
            if data[name] is not None:
                raise ValidationError(f"Not allowed if the status is {status}.", name)


class BatchUpdate(ProgressReport):
    agent_id = Identifier(required=True, metadata=doc("Id of the agent.", AGENT))


class Batch(CamelSchema):
    updates = fields.List(
        fields.Raw(),
        required=True,
        validate=validate.Length(min=1, max=500),
        metadata=doc("The reports; each is validated separately."),
    )


class AcceptedSchema(CamelSchema):
    accepted = NumberText(metadata=doc("Number of accepted reports.", "1"))


class RejectedSchema(CamelSchema):
    index = NumberText(metadata=doc("Index in the batch, from 0.", "3"))
    errors = fields.Dict(metadata=doc("Error messages by field.", {"progress": ["Must be from 0 to 100."]}))


class BatchAnswer(AcceptedSchema):
    rejected = fields.List(fields.Nested(RejectedSchema), metadata=doc("The rejected reports."))


class AgentTaskData(TaskState):
    """The state of an agent's task, as in events."""

    agent_id = fields.String(required=True, metadata=doc("Id of the agent.", AGENT))
    status = _choice(
        ["RUNNING", "COMPLETED", "FAILED", "IDLE"],
        "Status of the task; IDLE if the agent moved to another protocol without ending it.",
        "RUNNING",
        required=True,
    )
    error = fields.Nested(
        TaskErrorSchema, required=True, allow_none=True, metadata=doc("Why the task failed; null otherwise.", None)
    )
    next_task = fields.String(required=True, allow_none=True, metadata=doc("Name of the agent's next task.", None))
