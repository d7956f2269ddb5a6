"""This project's HTTP server without its application: `python bare.py` prints its port. Each body is read and accepted.

What is below this figure cannot be reached on eventlet, whatever the application does.
"""

from app.core import runtime

runtime.patch()

from app.http.responses import HEADERS, NO_STORE  # noqa: E402
from app.http.server.serving import serve  # noqa: E402

ANSWER = b'{"accepted":"1"}\n'
FIELDS = [("Content-Type", "application/json"), NO_STORE, *HEADERS.items(), ("Content-Length", str(len(ANSWER)))]


def app(environ, start_response):
    environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("202 ACCEPTED", list(FIELDS))
    return [ANSWER]


listener = runtime.listen("127.0.0.1", 0)
print(listener.getsockname()[1], flush=True)
serve(app, listener, grace_seconds=1)
