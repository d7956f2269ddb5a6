from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from app.agents.models import AgentType
from app.paging import PageQuery, page_schema
from app.schemas import NAME_LENGTH, CamelSchema, Identifier, NumberText, Text, Timestamp

MAX_UPDATES = 500


class AgentCreate(CamelSchema):
    id = Identifier(load_default=None)
    name = Text(required=True, validate=NAME_LENGTH)
    type = Text(required=True, validate=validate.OneOf(list(AgentType)))


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
    name = Text(required=True, validate=NAME_LENGTH)


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
    code = Text(load_default=None, allow_none=True, validate=validate.Length(max=64))
    message = Text(required=True, validate=validate.Length(min=1, max=2000))


class ProgressReport(CamelSchema):
    """What an agent says of its task (contract: Progress report)."""

    protocol_id = Identifier(required=True)
    task = Text(required=True, validate=NAME_LENGTH)
    progress = Percentage(load_default=None)
    status = Text(load_default="RUNNING", validate=validate.OneOf(["RUNNING", "COMPLETED", "FAILED"]))
    estimated_completion = Timestamp(load_default=None, allow_none=True)
    error = fields.Nested(TaskErrorSchema, load_default=None, allow_none=True)
    next_task = Text(load_default=None, allow_none=True, validate=NAME_LENGTH)

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
