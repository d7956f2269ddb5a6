"""The one connection of a process for its script calls, shared by all and renewed when it breaks."""

import os
import select
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from app.core.redis_multiplexer import RedisMultiplexer

CALLS = 400


@pytest.fixture
def redis_multiplexer(redis_url):
    return RedisMultiplexer(lambda: redis.Redis.from_url(redis_url, protocol=2, socket_timeout=1))


def test_each_of_many_callers_gets_its_own_reply(redis_multiplexer):
    def echo(number):
        return all(redis_multiplexer.call("ECHO", f"{number}-{n}") == f"{number}-{n}".encode() for n in range(CALLS))

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(echo, range(16)))


def test_a_killed_connection_fails_the_waiting_calls_and_later_calls_succeed(redis_multiplexer, redis_url):
    other = redis.Redis.from_url(redis_url)

    def echo(number):
        failures = 0
        for n in range(CALLS):
            try:
                assert redis_multiplexer.call("ECHO", f"{number}-{n}") == f"{number}-{n}".encode()
            except redis.ConnectionError:
                failures += 1
        return failures

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(echo, number) for number in range(8)]
        for _ in range(5):
            other.client_kill_filter(_type="normal", skipme=True)
        assert sum(each.result() for each in running) < 8 * CALLS
    assert redis_multiplexer.call("PING") == b"PONG"


def test_an_error_reply_is_raised_and_the_connection_goes_on(redis_multiplexer):
    with pytest.raises(redis.exceptions.NoScriptError):
        redis_multiplexer.call("EVALSHA", "0" * 40, 0)
    assert redis_multiplexer.call("PING") == b"PONG"


def test_a_server_that_is_gone_raises_a_connection_error():
    nowhere = RedisMultiplexer(lambda: redis.Redis(port=1, protocol=2, socket_connect_timeout=1))
    with pytest.raises(redis.ConnectionError):
        nowhere.call("PING")


def test_a_forked_child_opens_a_connection_of_its_own(redis_multiplexer):
    assert redis_multiplexer.call("PING") == b"PONG"
    child = os.fork()
    if child == 0:
        os._exit(0 if redis_multiplexer.call("ECHO", "child") == b"child" else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert redis_multiplexer.call("ECHO", "parent") == b"parent"


def test_replies_that_came_while_the_process_did_not_get_the_cpu_count_as_in_time(redis_multiplexer, monkeypatch):
    """The time of a wait is then over, though its replies lie in the socket; a server that hangs is still noticed."""
    assert redis_multiplexer.call("PING") == b"PONG"
    connection = redis_multiplexer._current
    real = connection._socket

    class Paused:
        waits = has_replies = 1

        def recv(self, size):
            if self.waits:
                self.waits -= 1
                if self.has_replies:
                    select.select([real], [], [], 60)
                raise TimeoutError
            return real.recv(size)

        def __getattr__(self, name):
            return getattr(real, name)

    monkeypatch.setattr(connection, "_socket", Paused())
    assert redis_multiplexer.call("ECHO", "late") == b"late"
    assert real.gettimeout() == 1
    connection._socket.waits, connection._socket.has_replies = 1, 0
    with pytest.raises(redis.TimeoutError):
        redis_multiplexer.call("BLPOP", "nothing", 60)
