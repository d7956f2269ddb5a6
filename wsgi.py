"""Entry of web processes: patches the runtime before anything else is imported, then creates the app."""

from app.core import runtime

runtime.patch()

from app.config import load_config  # noqa: E402
from app.factory import create_app  # noqa: E402
from app.observability import exporters  # noqa: E402
from app.observability.logging import init_logging  # noqa: E402

settings = load_config()
init_logging(settings)
exporters.report_crashes(settings)
app = create_app(settings, serve_sockets=True)
exporters.start_tracing(settings)
