"""`dashboard web`: one web process."""

from collections.abc import Callable

import click

from app.cli.gc_freeze import loading
from app.observability import probe


@click.command()
@click.option("--host", default="127.0.0.1", help="address to listen on")
@click.option(
    "--port", default=5000, envvar="PORT", show_envvar=True, type=click.IntRange(0, 65535), help="port to listen on"
)
@click.option("--reuse-port", is_flag=True, help="share the port with other web processes")
def web(host: str, port: int, *, reuse_port: bool) -> None:
    """Serve REST, Socket.IO and the page."""
    _raise_open_files()
    with loading():
        import wsgi  # isort: skip - patches the runtime: comes before everything that opens sockets
    from app.core import runtime
    from app.http.server.serving import serve
    from app.observability import exporters, process_registry

    try:
        listener = runtime.listen(host, port, reuse_port=reuse_port)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror}") from error
    runtime.spawn(_give_signs, runtime.sleep)
    try:
        serve(wsgi.app, listener, grace_seconds=wsgi.settings.shutdown_grace)
    finally:
        with wsgi.app.app_context():
            process_registry.leave()
        exporters.finish()


def _give_signs(sleep: Callable[[float], None]) -> None:
    """As a greenthread: an event loop that hangs gives no sign."""
    while True:
        probe.touch("web")
        sleep(probe.TOUCH_SECONDS)


def _raise_open_files() -> None:
    """Each connection is an open file: take as many as the system grants."""
    import contextlib
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
