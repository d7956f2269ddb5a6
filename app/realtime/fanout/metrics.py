"""What the fan-out counts."""

from prometheus_client import Counter, Gauge

FANOUT_EVENTS = Counter("dashboard_fanout_events_total", "Events heard for rooms with members here")
FANOUT_FAILURES = Counter("dashboard_fanout_failures_total", "Messages this process could not handle")
SUBSCRIBER_LOSSES = Counter("dashboard_subscriber_losses_total", "Losses of the connection to Redis's channels")
RESYNCS = Counter("dashboard_resyncs_total", "Connections ended because their room moved on unheard")
CONTROL_FAILURES = Counter("dashboard_control_failures_total", "Messages to other processes Redis did not take")
FANOUT_DELIVERIES = Counter("dashboard_fanout_deliveries_total", "Events handed to a connection")
TOO_SLOW_SOCKETS = Counter("dashboard_sockets_too_slow_total", "Connections cut off since they did not read")
ROOMS = Gauge("dashboard_rooms", "Rooms with members in this process", multiprocess_mode="livesum")
ENGINE_REFUSALS = Counter("dashboard_engine_refusals_total", "Requests to /socket.io that make no sense")
FLOODS = Counter("dashboard_sockets_flooding_total", "Connections ended since they sent packets without end")
