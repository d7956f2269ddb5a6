from typing import Any

from app.agents import batch, progress, service
from app.agents.models import AgentTask
from app.agents.schemas import (
    AcceptedSchema,
    AgentCreate,
    AgentPage,
    AgentQuery,
    AgentSchema,
    Batch,
    BatchAnswer,
    ProgressReport,
    TaskCreate,
    TaskPage,
    TaskSchema,
)
from app.auth.authorization import check_grant, check_reports_as_itself, principal, requires
from app.auth.permissions import Action
from app.core.errors import AgentNotFound, AlreadyExists, ProtocolNotFound, QueueFull
from app.core.pagination import Page, PageQuery
from app.http.idempotency import idempotent
from app.http.rest import Blueprint, raises
from app.protocols.service import check_exists as check_protocol

blueprint = Blueprint("agents", __name__, url_prefix="/api/v1", description="Agents, their tasks and their progress")


@blueprint.post("/agents")
@requires(Action.CREATE_AGENT)
@raises(AlreadyExists)
@blueprint.arguments(AgentCreate)
@blueprint.response(201, AgentSchema)
def create_agent(fields: dict[str, Any]) -> dict[str, Any]:
    """Create an agent

    An agent reports with a token whose `sub` is its id.
    """
    return service.create(fields)


@blueprint.get("/agents")
@requires(Action.READ)
@raises(ProtocolNotFound)
@blueprint.arguments(AgentQuery, location="query")
@blueprint.response(200, AgentPage)
def list_agents(query: dict[str, Any]) -> Page:
    """List the agents and what they are doing

    By id. A current task is shown only to readers whose token names its protocol. With `protocolId`: agents
    whose last task was that protocol's.
    """
    return service.list_all(principal(), **query)


@blueprint.get("/agents/<string:agent_id>")
@requires(Action.READ)
@blueprint.response(200, AgentSchema)
def get_agent(agent_id: str) -> dict[str, Any]:
    """Read an agent and what it is doing

    OFFLINE means that nothing was heard for 120 seconds.
    """
    return service.get(agent_id, principal())


@blueprint.post("/agents/<string:agent_id>/tasks")
@requires(Action.QUEUE_TASK)
@raises(QueueFull)
@blueprint.arguments(TaskCreate)
@idempotent(blueprint, 201, TaskSchema)
def queue_task(fields: dict[str, Any], agent_id: str) -> AgentTask:
    """Append a task to the agent's queue

    The agent turns to the head of its queue when it completes a task.
    """
    check_reports_as_itself(principal(), agent_id)
    check_grant(principal(), fields["protocol_id"])
    check_protocol(fields["protocol_id"])
    return service.queue_task(agent_id, fields)


@blueprint.get("/agents/<string:agent_id>/tasks")
@requires(Action.READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, TaskPage)
def list_tasks(query: dict[str, Any], agent_id: str) -> Page:
    """List the agent's tasks in order

    In the order of the queue; those of protocols that the token names.
    """
    return service.list_tasks(agent_id, principal(), **query)


@blueprint.post("/agents/<string:agent_id>/progress")
@requires(Action.REPORT_PROGRESS)
@raises(AgentNotFound, ProtocolNotFound)
@blueprint.arguments(ProgressReport)
@idempotent(blueprint, 202, AcceptedSchema)
def report_progress(fields: dict[str, Any], agent_id: str) -> dict[str, Any]:
    """Report the progress of an agent's task

    Answered before the room hears of it: one agent causes at most one event a second, and of RUNNING reports
    the newest one wins. COMPLETED and FAILED are stored first and always become an event of their own.
    """
    return progress.report(agent_id, fields, principal())


@blueprint.post("/progress")
@requires(Action.REPORT_PROGRESS)
@blueprint.arguments(Batch)
@idempotent(blueprint, 202, BatchAnswer)
def report_batch(fields: dict[str, Any]) -> dict[str, Any]:
    """Report the progress of many agents at once

    Each update is judged by itself: what is wrong with one is told under its index, and the others are taken.
    A batch counts as one request for its `Idempotency-Key`; its token's budget is charged one request for
    each task that it starts or closes, at least one. Of an agent's RUNNING updates in a batch only the newest
    counts.
    """
    return batch.report(fields["updates"], principal())
