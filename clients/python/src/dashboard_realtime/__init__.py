"""Client of Dashboard Realtime: live rooms, an agent's reports and typed REST calls."""

from dashboard_realtime.agent.agent import Agent, AsyncAgent
from dashboard_realtime.errors import ApiError, DashboardError, JournalInUse, NotAccepted, RoomRefused, Unreachable
from dashboard_realtime.rest.client import AsyncClient, Client
from dashboard_realtime.room.room import Room
from dashboard_realtime.room.settings import RoomOptions, Status
from dashboard_realtime.room.state import RoomState

__all__ = [
    "Agent",
    "ApiError",
    "AsyncAgent",
    "AsyncClient",
    "Client",
    "DashboardError",
    "JournalInUse",
    "NotAccepted",
    "Room",
    "RoomOptions",
    "RoomRefused",
    "RoomState",
    "Status",
    "Unreachable",
]
