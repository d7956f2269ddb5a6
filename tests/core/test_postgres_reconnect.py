"""Requests get 503 while PostgreSQL restarts and are served afterwards without a restart of the application."""

import os
import signal

from tests.factories import deposit, make_protocol
from tests.support import servers
from tests.support.processes import start, stop, until
from tests.support.stack import StackMaker


def restart(server: servers.Postgres) -> servers.Postgres:
    folder, user = server.folder, servers.SERVER_USER if os.geteuid() == 0 else None
    argv = [servers.postgres_binaries() / "postgres", "-D", folder / "data", "-p", server.port]
    argv += ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
    process = start([str(part) for part in argv], log=folder / "again.log", user=user, cwd=folder)
    again = servers.Postgres(process, server.port, folder)
    until(lambda: servers._accepts(again), 30, "PostgreSQL answers again")
    return again


def test_the_system_serves_again_after_each_kind_of_restart_of_postgresql(make_stack: StackMaker) -> None:
    server = servers.start_postgres()
    try:
        stack = make_stack(DATABASE_URL=server.create("dashboard"))
        protocol_id = make_protocol(stack.api)
        deposit(stack.api, protocol_id, "5.00")

        for number, total in ((signal.SIGINT, "7.00"), (signal.SIGKILL, "9.00")):  # SIGINT is its fast shutdown
            stop(server.process, sign=number)
            assert stack.api.owner.post(f"/protocols/{protocol_id}/deposits", {"amount": "1.00"}).status == 503
            assert stack.api.with_token(None).get("//healthz").status == 200
            server = restart(server)

            def ready() -> bool:
                return stack.api.with_token(None).get("//readyz").status == 200

            until(ready, 15, "the system is ready again")
            assert deposit(stack.api, protocol_id, "2.00")["pool"]["total"] == total
    finally:
        servers.stop_server(server)
