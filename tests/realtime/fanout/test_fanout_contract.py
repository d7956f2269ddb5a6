"""The fan-out replaces or relies on inner parts of pinned libraries; each part was read in the version named here.

When this fails after an upgrade: read what changed in the part, adapt `app/realtime/fanout/`, run the fan-out's
tests, and only then put the new digest here.
"""

import hashlib
import inspect
import warnings
from importlib.metadata import version

import pytest
import redis
import socketio
from engineio import base_server, base_socket
from engineio import server as engine_server
from engineio import socket as engine_socket
from socketio import base_manager, manager, packet, pubsub_manager

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import eventlet.greenio.base
    import eventlet.hubs.epolls
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


def digest(part):
    return hashlib.sha256(inspect.getsource(part).encode()).hexdigest()[:16]


def changes():
    found = [f"{name} is {version(name)}, not {pinned}" for name, pinned in PINNED.items() if version(name) != pinned]
    found += [
        f"{part.__module__}.{part.__qualname__} has changed (digest {digest(part)}, was {known})"
        for part, known in RELIED_ON.items()
        if digest(part) != known
    ]
    if not hasattr(redis.Connection(), "_sock"):
        found.append("redis.Connection keeps its socket elsewhere than in _sock")
    return found


def test_the_inner_parts_that_the_fan_out_touches_are_the_ones_it_was_written_for():
    found = changes()
    if found:
        pytest.fail("Read the docstring of this file first.\n" + "\n".join(found))
