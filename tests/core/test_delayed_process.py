"""A process that gets no CPU for longer than its waits last does not take its own delay for a dependency's."""

import subprocess
import sys

START = """
import sys, time
stall = time.sleep  # the real one: it stops the whole process
import eventlet
eventlet.monkey_patch()
from app.core import concurrency
concurrency.STEP_SECONDS = 0.2
"""
SHARED_RESULT = """
flight = concurrency.SingleFlight()
def make():
    eventlet.sleep(0.1)
    return "made"
callers = [eventlet.spawn(flight.share, "key", make) for _ in range(3)]
eventlet.sleep(0.05)
stall(3)
print([caller.wait() for caller in callers])
"""
REDIS = """
import redis
from app.core.redis_multiplexer import RedisMultiplexer
client = redis.Redis.from_url(sys.argv[1])
multiplexer = RedisMultiplexer(lambda: client)
connection = multiplexer.call("CLIENT", "ID")
slow = eventlet.spawn(multiplexer.call, "BLPOP", "none", "0.3")  # the replies come while the process stands still
callers = [eventlet.spawn(multiplexer.call, "PING") for _ in range(20)]
eventlet.spawn(stall, 3)
print({caller.wait() for caller in callers}, multiplexer.call("CLIENT", "ID") == connection)
"""


def output(script: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", START + script, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return run.stdout + run.stderr


def test_a_shared_result_is_waited_for_while_the_process_stands_still() -> None:
    assert output(SHARED_RESULT) == "['made', 'made', 'made']\n"


def test_replies_of_redis_are_taken_after_the_process_stood_still(redis_url) -> None:
    assert output(REDIS, redis_url) == "{b'PONG'} True\n"
