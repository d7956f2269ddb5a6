from typing import Any

from app.agents import progress, schemas, service
from app.agents.models import AgentTask
from app.auth.authorization import check_acts_for_itself, check_grant, current_principal, requires
from app.auth.permissions import Action
from app.core.errors import AgentNotFound, AlreadyExists, ProtocolNotFound, QueueFull
from app.core.pagination import Page
from app.http.idempotency import idempotent
from app.http.rest import Blueprint, raises
from app.protocols.service import check_exists as check_protocol

blueprint = Blueprint("agents", __name__, url_prefix="/api/v1", description="Agents, their tasks and their progress")


@blueprint.post("/agents")
@requires(Action.CREATE_AGENT)
@raises(AlreadyExists)
@blueprint.arguments(schemas.AgentCreate)
@blueprint.response(201, schemas.AgentSchema)
def create_agent(fields: dict[str, Any]) -> dict[str, Any]:
    """Create an agent

    The agent reports with a token whose `sub` is its id.
    """
    return service.create(fields)


@blueprint.get("/agents")
@requires(Action.READ)
@raises(ProtocolNotFound)
@blueprint.arguments(schemas.AgentQuery, location="query")
@blueprint.response(200, schemas.AgentPage)
def list_agents(query: dict[str, Any]) -> Page:
    """List agents with their current tasks

    Sorted by id. A current task is included only if the token names its protocol. With `protocolId`: only agents
    whose last stored task belongs to that protocol.
    """
    return service.list_all(current_principal(), **query)


@blueprint.get("/agents/<string:agent_id>")
@requires(Action.READ)
@blueprint.response(200, schemas.AgentSchema)
def get_agent(agent_id: str) -> dict[str, Any]:
    """Read an agent with its current task

    An agent is OFFLINE after 120 seconds without a report.
    """
    return service.describe([service.find(agent_id)], current_principal())[0]


@blueprint.post("/agents/<string:agent_id>/tasks")
@requires(Action.QUEUE_TASK)
@raises(QueueFull)
@blueprint.arguments(schemas.TaskCreate)
@idempotent(blueprint, 201, schemas.TaskSchema)
def queue_task(fields: dict[str, Any], agent_id: str) -> AgentTask:
    """Append a task to the agent's queue

    The agent starts the first task of its queue when it completes a task.
    """
    check_acts_for_itself(current_principal(), agent_id)
    check_grant(current_principal(), fields["protocol_id"])
    check_protocol(fields["protocol_id"])
    return service.queue_task(agent_id, fields)


@blueprint.get("/agents/<string:agent_id>/tasks")
@requires(Action.READ)
@blueprint.arguments(schemas.TaskQuery, location="query")
@blueprint.response(200, schemas.TaskPage)
def list_tasks(query: dict[str, Any], agent_id: str) -> Page:
    """List the tasks of an agent

    In queue order, closed ones of the last 90 days included; only tasks of protocols that the token names.
    """
    return service.list_tasks(agent_id, current_principal(), **query)


@blueprint.post("/agents/<string:agent_id>/progress")
@requires(Action.REPORT_PROGRESS)
@raises(AgentNotFound, ProtocolNotFound)
@blueprint.arguments(schemas.ProgressReport)
@idempotent(blueprint, 202, schemas.AcceptedSchema)
def report_progress(fields: dict[str, Any], agent_id: str) -> dict[str, Any]:
    """Report the progress of an agent's task

    The response is sent before the event. An agent causes at most one event a second, and the newest RUNNING report
    replaces older ones. COMPLETED and FAILED are stored before the response and always become separate events.
    """
    return progress.report(agent_id, fields, current_principal())


@blueprint.post("/progress")
@requires(Action.REPORT_PROGRESS)
@blueprint.arguments(schemas.Batch)
@idempotent(blueprint, 202, schemas.BatchAnswer)
def report_batch(fields: dict[str, Any]) -> dict[str, Any]:
    """Report the progress of many agents at once

    Each update is validated separately: `rejected` lists errors by index, and the other updates are accepted. A batch
    is one request for its `Idempotency-Key`. The token is charged one request for each task that the batch starts or
    ends, and at least one. Only the newest of an agent's RUNNING updates in a batch takes effect.
    """
    return progress.report_batch(fields["updates"], current_principal())
