"""Ratios of CPU time that a change must not worsen unnoticed, measured in one process at the same time.

Times differ from machine to machine and from minute to minute, ratios hardly; both sides take turns and the best of
several rounds counts, so that what else the machine does cancels out. `tests/bench/test_bench_guard.py` runs it.
"""

import io
import itertools
import json
import time

from app.realtime import limiter

ROUNDS = 7
MESSAGE_BYTES = 200


def spent(work):
    """The CPU seconds of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def ratio(work, other, rounds=ROUNDS, prepare=lambda: None):
    """The CPU time of `work` divided by that of `other`: alternating runs, the best of each, without `prepare()`."""
    pairs = []
    for _ in range(rounds):
        prepare()
        pairs.append((spent(work), spent(other)))
    return min(pair[0] for pair in pairs) / min(pair[1] for pair in pairs)


def cpu_of_redis(client, work):
    """The CPU seconds of Redis's main thread."""
    began = _redis_seconds(client)
    work()
    return _redis_seconds(client) - began


def _redis_seconds(client):
    cpu = client.info("cpu")
    return cpu["used_cpu_user_main_thread"] + cpu["used_cpu_sys_main_thread"]


def redis_ratio(client, prepare, work, other, rounds=3):
    """As `ratio`, for the CPU time of Redis; `prepare()` is not counted."""
    pairs = []
    for _ in range(rounds):
        prepare()
        pairs.append((cpu_of_redis(client, work), cpu_of_redis(client, other)))
    return min(pair[0] for pair in pairs) / min(pair[1] for pair in pairs)


def post(wsgi_app, path, token, body, **more):
    """One POST through the WSGI app, without a server; returns the status line."""
    data, statuses = json.dumps(body).encode(), []
    environ = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "bench",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(data)),
        "wsgi.input": io.BytesIO(data),
        "wsgi.errors": io.StringIO(),
        "wsgi.url_scheme": "http",
    } | more
    for _ in wsgi_app(environ, lambda status, _headers, *_: statuses.append(status)):
        pass
    return statuses[0]


def fill(agents, rooms, per_call=500):
    """Let this many agents wait, spread over the rooms."""
    offers = (
        limiter.RunningReport(f"agent-{n}", f"room-{n % rooms}", "Scan", f'{{"agentId":"agent-{n}","progress":"5"')
        for n in range(agents)
    )
    while batch := list(itertools.islice(offers, per_call)):
        limiter.report(batch)


def bare_publishes(client, count, per_call=1000):
    """The minimum that Redis must do to publish as many messages of the same size."""
    message = "agent:task_update 1 1795379400123 " + "x" * MESSAGE_BYTES
    script = "for i = 1, tonumber(ARGV[1]) do redis.call('PUBLISH', 'bench:' .. i, ARGV[2] .. i) end"
    for _ in range(count // per_call):
        client.eval(script, 0, per_call, message)
