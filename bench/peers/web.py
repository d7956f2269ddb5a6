"""A whole web process with one protocol: `python web.py` prints its port. The environment has its settings."""

from app.core import runtime

runtime.patch()

from app.config import load_config  # noqa: E402
from app.core.database import utc_now  # noqa: E402
from app.core.extensions import db  # noqa: E402
from app.factory import create_app  # noqa: E402
from app.http.server.serving import serve  # noqa: E402
from app.protocols.models import Pool, Protocol  # noqa: E402
from app.realtime import limiter  # noqa: E402
from app.sockets import handlers  # noqa: E402
from app.streams import service as streams  # noqa: E402

SELDOM_SECONDS = 300


def main():
    handlers.PING_INTERVAL_SECONDS = streams.HEARTBEAT_SECONDS = SELDOM_SECONDS
    app = create_app(load_config(), serve_sockets=True)
    with app.app_context():
        db.create_all()
        amounts = {"version": 0, "total_minor": 0, "reserved_minor": 0, "paid_minor": 0}
        db.session.add(Protocol(id="bench", name="Bench", currency="USDC", created_at=utc_now()))
        db.session.flush()
        db.session.add(Pool(protocol_id="bench", currency="USDC", **amounts))
        db.session.commit()
        limiter.open_room("bench")
    listener = runtime.listen("127.0.0.1", 0)
    print(listener.getsockname()[1], flush=True)
    serve(app, listener, grace_seconds=1)


main()
