from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from app.agents.models import AgentType
from app.core.pagination import PageQuery, page_schema
from app.core.schemas import CamelSchema, DescribingText, Identifier, Name, NumberText, Timestamp
from app.core.text import REASON_LENGTH

MAX_UPDATES = 500
MAX_ERROR_CODE = 64


class AgentCreate(CamelSchema):
    id = Identifier(load_default=None)
    name = Name(required=True)
    type = fields.String(required=True, validate=validate.OneOf(list(AgentType)))


class CurrentTaskSchema(CamelSchema):
    protocol_id = fields.String()
    task = fields.String()
    progress = NumberText()
    status = fields.String()
    estimated_completion = Timestamp(allow_none=True)
    error = fields.Dict(allow_none=True)
    version = NumberText()


class AgentSchema(CamelSchema):
    id = fields.String()
    name = fields.String()
    type = fields.String()
    status = fields.String()
    last_seen = Timestamp(allow_none=True)
    current_task = fields.Nested(CurrentTaskSchema, allow_none=True)
    created_at = Timestamp()


AgentPage = page_schema(AgentSchema)


class AgentQuery(PageQuery):
    protocol_id = Identifier(load_default=None)


class TaskCreate(CamelSchema):
    protocol_id = Identifier(required=True)
    name = Name(required=True)


class TaskSchema(CamelSchema):
    id = NumberText()
    agent_id = fields.String()
    protocol_id = fields.String()
    name = fields.String()
    status = fields.String()
    created_at = Timestamp()
    started_at = Timestamp(allow_none=True)
    closed_at = Timestamp(allow_none=True)


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
    code = DescribingText(MAX_ERROR_CODE, load_default=None, allow_none=True)
    message = DescribingText(REASON_LENGTH, required=True)


class TaskError(fields.Nested):
    """`{code?, message}`, or the message alone as a string."""

    def _deserialize(self, value: Any, *context: Any, **kwargs: Any) -> Any:
        return super()._deserialize({"message": value} if isinstance(value, str) else value, *context, **kwargs)


class ProgressReport(CamelSchema):
    """What an agent says of its task (contract: Progress report)."""

    protocol_id = Identifier(required=True)
    task = Name(required=True)
    progress = Percentage(load_default=None)
    status = fields.String(load_default="RUNNING", validate=validate.OneOf(["RUNNING", "COMPLETED", "FAILED"]))
    estimated_completion = Timestamp(load_default=None, allow_none=True)
    error = TaskError(TaskErrorSchema, load_default=None, allow_none=True)
    next_task = Name(load_default=None, allow_none=True)

    @validates_schema
    def _fields_fit_status(self, data: dict[str, Any], **_: Any) -> None:
        if data["status"] == "RUNNING" and data["progress"] is None:
            raise ValidationError("Is required while the task is RUNNING.", "progress")
        if data["status"] == "FAILED" and data["error"] is None:
            raise ValidationError("Is required when the task FAILED.", "error")
        if data["status"] != "FAILED" and data["error"] is not None:
            raise ValidationError("Goes with the status FAILED alone.", "error")


class BatchUpdate(ProgressReport):
    agent_id = Identifier(required=True)


class Batch(CamelSchema):
    updates = fields.List(fields.Raw(), required=True, validate=validate.Length(min=1, max=MAX_UPDATES))


class AcceptedSchema(CamelSchema):
    accepted = NumberText()


class RejectedSchema(CamelSchema):
    index = NumberText()
    errors = fields.Dict()


class BatchAnswer(AcceptedSchema):
    rejected = fields.List(fields.Nested(RejectedSchema))


class AgentTaskData(CamelSchema):
    """The task an agent is on."""

    agent_id = fields.String(required=True)
    task = fields.String(required=True)
    progress = NumberText(required=True)
    status = fields.String(required=True, validate=validate.OneOf(["RUNNING", "COMPLETED", "FAILED", "IDLE"]))
    estimated_completion = Timestamp(required=True, allow_none=True)
    error = fields.Nested(TaskErrorSchema, required=True, allow_none=True)
    next_task = fields.String(required=True, allow_none=True)
    version = NumberText(required=True)
