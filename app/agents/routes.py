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
from app.core.pagination import Page, PageQuery
from app.http.idempotency import idempotent
from app.http.rest import Blueprint
from app.protocols.service import check_exists as check_protocol

blueprint = Blueprint("agents", __name__, url_prefix="/api/v1", description="Agents, their tasks and their progress")


@blueprint.post("/agents")
@requires(Action.CREATE_AGENT)
@blueprint.arguments(AgentCreate)
@blueprint.response(201, AgentSchema)
def create_agent(fields: dict[str, Any]) -> dict[str, Any]:
    """Create an agent"""
    return service.create(fields)


@blueprint.get("/agents")
@requires(Action.READ)
@blueprint.arguments(AgentQuery, location="query")
@blueprint.response(200, AgentPage)
def list_agents(query: dict[str, Any]) -> Page:
    """List the agents and what they are doing"""
    return service.list_all(principal(), **query)


@blueprint.get("/agents/<string:agent_id>")
@requires(Action.READ)
@blueprint.response(200, AgentSchema)
def get_agent(agent_id: str) -> dict[str, Any]:
    """Read an agent and what it is doing"""
    return service.get(agent_id, principal())


@blueprint.post("/agents/<string:agent_id>/tasks")
@requires(Action.QUEUE_TASK)
@blueprint.arguments(TaskCreate)
@idempotent(blueprint, 201, TaskSchema)
def queue_task(fields: dict[str, Any], agent_id: str) -> AgentTask:
    """Append a task to the agent's queue"""
    check_reports_as_itself(principal(), agent_id)
    check_grant(principal(), fields["protocol_id"])
    check_protocol(fields["protocol_id"])
    return service.queue_task(agent_id, fields)


@blueprint.get("/agents/<string:agent_id>/tasks")
@requires(Action.READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, TaskPage)
def list_tasks(query: dict[str, Any], agent_id: str) -> Page:
    """List the agent's tasks in order"""
    return service.list_tasks(agent_id, principal(), **query)


@blueprint.post("/agents/<string:agent_id>/progress")
@requires(Action.REPORT_PROGRESS)
@blueprint.arguments(ProgressReport)
@idempotent(blueprint, 202, AcceptedSchema)
def report_progress(fields: dict[str, Any], agent_id: str) -> dict[str, Any]:
    """Report the progress of an agent's task"""
    return progress.report(agent_id, fields, principal())


@blueprint.post("/progress")
@requires(Action.REPORT_PROGRESS)
@blueprint.arguments(Batch)
@idempotent(blueprint, 202, BatchAnswer)
def report_batch(fields: dict[str, Any]) -> dict[str, Any]:
    """Report the progress of many agents at once"""
    return batch.report(fields["updates"], principal())
