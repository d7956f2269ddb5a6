"""`dashboard web`: one web process."""

import click

from app.cli.loading import loading


@click.command()
@click.option("--host", default="127.0.0.1", help="address to listen on")
@click.option("--port", default=5000, type=click.IntRange(0, 65535), help="port to listen on")
@click.option("--reuse-port", is_flag=True, help="share the port with other web processes")
def web(host: str, port: int, *, reuse_port: bool) -> None:
    """Serve REST, Socket.IO and the page."""
    _raise_open_files()
    with loading():
        import wsgi  # isort: skip - patches the runtime: comes before everything that opens sockets
    from app import runtime
    from app.cli.ready import tell_ready
    from app.observability import abroad
    from app.web.serving import serve

    try:
        listener = runtime.listen(host, port, reuse_port=reuse_port)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror}") from error
    tell_ready()
    try:
        serve(wsgi.app, listener, grace_seconds=wsgi.settings.shutdown_grace)
    finally:
        abroad.finish()


def _raise_open_files() -> None:
    """Each connection is an open file: take as many as the system grants."""
    import contextlib
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
