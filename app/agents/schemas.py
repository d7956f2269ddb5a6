from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from app.agents.models import AgentType, TaskStatus
from app.core.examples import AGENT, LATER, MOMENT, PROTOCOL
from app.core.pagination import PageQuery, page_schema
from app.core.schemas import CamelSchema, DescribingText, Identifier, Name, NumberText, Timestamp, doc
from app.core.text import REASON_LENGTH

MAX_UPDATES = 500
MAX_ERROR_CODE = 64


class AgentCreate(CamelSchema):
    id = Identifier(load_default=None, metadata=doc("An id of your own; without it the server makes one.", AGENT))
    name = Name(required=True, metadata=doc("A name for people; programs go by the id.", "Scanner 7"))
    type = fields.String(
        required=True, validate=validate.OneOf(list(AgentType)), metadata=doc("What kind of agent it is.", "RESEARCHER")
    )


class CurrentTaskSchema(CamelSchema):
    protocol_id = fields.String(metadata=doc("Id of the protocol it belongs to.", PROTOCOL))
    task = fields.String(metadata=doc("Name of the task.", "Symbolic execution of Vault.sol"))
    progress = NumberText(metadata=doc("Per cent of the task done.", "65"))
    status = fields.String(
        validate=validate.OneOf(["RUNNING", "FAILED"]), metadata=doc("Status of the task.", "RUNNING")
    )
    estimated_completion = Timestamp(allow_none=True, metadata=doc("When the agent expects to be done.", LATER))
    error = fields.Dict(allow_none=True, metadata=doc("Why the task failed; null otherwise.", None))
    version = NumberText(metadata=doc("Rises with every change; a lower or equal one is old news.", "2"))


class AgentSchema(CamelSchema):
    id = fields.String(metadata=doc("The agent's id.", AGENT))
    name = fields.String(metadata=doc("A name for people; programs go by the id.", "Scanner 7"))
    type = fields.String(
        validate=validate.OneOf(list(AgentType)), metadata=doc("What kind of agent it is.", "RESEARCHER")
    )
    status = fields.String(
        validate=validate.OneOf(["ONLINE", "OFFLINE"]),
        metadata=doc("OFFLINE when not heard for 120 seconds.", "ONLINE"),
    )
    last_seen = Timestamp(allow_none=True, metadata=doc("When the agent was last heard; null if never.", MOMENT))
    current_task = fields.Nested(
        CurrentTaskSchema,
        allow_none=True,
        metadata=doc("The task it is on, or failed at; null when idle or not for the reader's eyes.", None),
    )
    created_at = Timestamp(metadata=doc("When it was made.", MOMENT))


AgentPage = page_schema(AgentSchema)


class AgentQuery(PageQuery):
    protocol_id = Identifier(load_default=None, metadata=doc("Id of the protocol it belongs to."))


class TaskCreate(CamelSchema):
    protocol_id = Identifier(required=True, metadata=doc("Id of the protocol it belongs to.", PROTOCOL))
    name = Name(required=True, metadata=doc("The task's name.", "Fuzzing of Pool.sol"))


class TaskSchema(CamelSchema):
    id = NumberText(metadata=doc("Number of the task; rises in the order of the queue.", "17"))
    agent_id = fields.String(metadata=doc("Id of the agent it is about, or who found it.", AGENT))
    protocol_id = fields.String(metadata=doc("Id of the protocol it belongs to.", PROTOCOL))
    name = fields.String(metadata=doc("The task's name.", "Fuzzing of Pool.sol"))
    status = fields.String(validate=validate.OneOf(list(TaskStatus)), metadata=doc("Where it stands.", "QUEUED"))
    created_at = Timestamp(metadata=doc("When it was made.", MOMENT))
    started_at = Timestamp(allow_none=True, metadata=doc("When the agent turned to it; null before.", None))
    closed_at = Timestamp(allow_none=True, metadata=doc("When the task was closed; null while it is open.", None))


TaskPage = page_schema(TaskSchema)


class Percentage(fields.Field[int | float]):
    """A JSON number from 0 to 100."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int | float:
        if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
            raise ValidationError("Must be a number from 0 to 100.")
        if not 0 <= value <= 100:  # noqa: PLR2004 - a percentage
            raise ValidationError("Must be from 0 to 100.")
        return round(float(value), 2) if isinstance(value, float) else int(value)


class TaskErrorSchema(CamelSchema):
    code = DescribingText(
        MAX_ERROR_CODE, load_default=None, allow_none=True, metadata=doc("The agent's own code for it.", "RPC_TIMEOUT")
    )
    message = DescribingText(
        REASON_LENGTH,
        required=True,
        metadata=doc(
            "What happened, in words. Line ends become LF, other control characters and escape sequences are removed, and what is longer than 2,000 characters is cut and ends in `…`.",
            "RPC endpoint timed out",
        ),
    )


class TaskError(fields.Nested):
    """`{code?, message}`, or the message alone as a string."""

    def _deserialize(self, value: Any, *context: Any, **kwargs: Any) -> Any:
        return super()._deserialize({"message": value} if isinstance(value, str) else value, *context, **kwargs)


class ProgressReport(CamelSchema):
    """What an agent says of its task (contract: Progress report)."""

    protocol_id = Identifier(required=True, metadata=doc("Id of the protocol it belongs to.", PROTOCOL))
    task = Name(required=True, metadata=doc("Name of the task.", "Symbolic execution of Vault.sol"))
    progress = Percentage(load_default=None, metadata=doc("Per cent of the task done; required while RUNNING.", 65))
    status = fields.String(
        load_default="RUNNING",
        validate=validate.OneOf(["RUNNING", "COMPLETED", "FAILED"]),
        metadata=doc("Status of the task.", "RUNNING"),
    )
    estimated_completion = Timestamp(
        load_default=None, allow_none=True, metadata=doc("When the agent expects to be done.", LATER)
    )
    error = TaskError(
        TaskErrorSchema,
        load_default=None,
        allow_none=True,
        metadata=doc(
            "Why the task FAILED, and required then: the message alone, or with a code of the agent's own.", None
        ),
    )
    next_task = Name(load_default=None, allow_none=True, metadata=doc("The task that the agent turns to next.", None))

    @validates_schema
    def _fields_fit_status(self, data: dict[str, Any], **_: Any) -> None:
        if data["status"] == "RUNNING" and data["progress"] is None:
            raise ValidationError("Is required while the task is RUNNING.", "progress")
        if data["status"] == "FAILED" and data["error"] is None:
            raise ValidationError("Is required when the task FAILED.", "error")
        if data["status"] != "FAILED" and data["error"] is not None:
            raise ValidationError("Goes with the status FAILED alone.", "error")


class BatchUpdate(ProgressReport):
    agent_id = Identifier(required=True, metadata=doc("Id of the agent it is about, or who found it.", AGENT))


class Batch(CamelSchema):
    updates = fields.List(
        fields.Raw(),
        required=True,
        validate=validate.Length(min=1, max=MAX_UPDATES),
        metadata=doc("The reports; each is judged by itself."),
    )


class AcceptedSchema(CamelSchema):
    accepted = NumberText(metadata=doc("How many reports were accepted.", "1"))


class RejectedSchema(CamelSchema):
    index = NumberText(metadata=doc("Place in the batch, from 0.", "3"))
    errors = fields.Dict(metadata=doc("What is wrong: field → messages.", {"progress": ["Must be from 0 to 100."]}))


class BatchAnswer(AcceptedSchema):
    rejected = fields.List(fields.Nested(RejectedSchema), metadata=doc("What is wrong with the others."))


class AgentTaskData(CamelSchema):
    """The task an agent is on."""

    agent_id = fields.String(required=True, metadata=doc("Id of the agent it is about, or who found it.", AGENT))
    task = fields.String(required=True, metadata=doc("Name of the task.", "Symbolic execution of Vault.sol"))
    progress = NumberText(required=True, metadata=doc("Per cent of the task done.", "65"))
    status = fields.String(
        required=True,
        validate=validate.OneOf(["RUNNING", "COMPLETED", "FAILED", "IDLE"]),
        metadata=doc(
            "Status of the task; IDLE when the agent turned to another protocol without closing it.", "RUNNING"
        ),
    )
    estimated_completion = Timestamp(
        required=True, allow_none=True, metadata=doc("When the agent expects to be done.", LATER)
    )
    error = fields.Nested(
        TaskErrorSchema, required=True, allow_none=True, metadata=doc("Why the task failed; null otherwise.", None)
    )
    next_task = fields.String(
        required=True, allow_none=True, metadata=doc("The task that the agent turns to next.", None)
    )
    version = NumberText(required=True, metadata=doc("Rises with every change; a lower or equal one is old news.", "2"))
