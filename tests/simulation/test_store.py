"""The simulated Redis answers random commands as a real one does, and refuses what the scripts must not do."""

import random
import re
import time

import pytest
import redis

from tests.simulation.lua_server import INTERPRETERS, LuaServer
from tests.support.seeds import SEED

COMMANDS = 6000
KEYS = ("a", "b", "c", "d")
VALUES = ("x", "y", "zz", "1", "7", "-3", "1766000000000001", "")
SCORES = ("0", "1", "2", "2.5", "-1", "1766000000000001", "+inf", "-inf")
BOUNDS = (*SCORES, "(1", "(2", "(1766000000000001")
PLACES = ("0", "1", "2", "-1", "-2", "5", "-7")


class Commands:
    """Random commands: on few keys of mixed kinds, so that they often meet what an earlier one wrote."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.used = 0

    def any(self, *choices: str) -> str:
        return self.random.choice(choices)

    def many(self, *choices: str) -> list[str]:
        return self.random.choices(choices, k=self.random.choice((1, 1, 2, 3)))

    def seconds(self) -> int:
        """Another one each time, since the two clocks differ by a millisecond."""
        self.used += 20
        return 1_000_000 + self.random.choice((-1, 1)) * self.used

    def pairs(self, first: tuple[str, ...], second: tuple[str, ...]) -> list[str]:
        return [self.any(*part) for _ in self.many("") for part in (first, second)]

    def next(self) -> list[str]:
        key, any_, many = self.any(*KEYS), self.any, self.many
        limit = any_("", f"LIMIT {any_('0', '1')} {any_('0', '1', '2', '-1')}").split()
        scores = any_("", "WITHSCORES").split()
        first, last = self.random.choice((("0", "-1"), (any_(*PLACES), any_(*PLACES))))
        lifetimes = f"PX {self.seconds() * 1000}", f"EX {self.seconds()}"
        low, high = any_(*BOUNDS), any_(*BOUNDS)
        condition = any_("", "", "NX", "XX", "GT", "LT").split()
        kinds = {
            "string": [
                ["GET", key], ["SET", key, any_(*VALUES), *any_("", "NX", "XX", *lifetimes).split()],
                ["INCRBY", key, any_("1", "-4", "0", "x")], ["INCR", key], ["MGET", *many(*KEYS)],
            ],
            "key": [
                ["EXISTS", *many(*KEYS)], ["DEL", *many(*KEYS)], ["TYPE", key], ["PERSIST", key], ["PTTL", key],
                ["EXPIRE", key, str(self.seconds()), *condition],
                ["PEXPIRE", key, any_(f"{self.seconds()}000", "-1"), *condition],
                ["TTL", key], ["EXPIREAT", key, any_("1", "99999999999")], ["UNLINK", key],
            ],
            "hash": [
                ["HSET", key, *self.pairs(("f", "g", "h"), VALUES)], ["HGET", key, any_("f", "g")],
                ["HMGET", key, *many("f", "g", "q")], ["HDEL", key, *many("f", "g")],
                ["HINCRBY", key, any_("f", "g"), any_("1", "-1")], ["HEXISTS", key, "f"], ["HLEN", key],
                ["HGETALL", key], ["HSETNX", key, any_("f", "g"), "n"],
            ],
            "list": [
                ["RPUSH", key, *many(*VALUES)], ["LPUSH", key, *many(*VALUES)],
                ["LPOP", key, *any_("", "2", "0").split()],
                ["RPOP", key], ["LLEN", key], ["LRANGE", key, first, last], ["LINDEX", key, any_(*PLACES)],
                ["LTRIM", key, first, last], ["LPOS", key, any_(*VALUES)], ["LSET", key, any_(*PLACES), "set"],
            ],
            "zset": [
                ["ZADD", key, *condition, *any_("", "CH").split(), *self.pairs(SCORES, ("m", "n", "o", "p"))],
                ["ZREM", key, *many("m", "n", "o")], ["ZSCORE", key, "m"], ["ZMSCORE", key, "m", "q"], ["ZCARD", key],
                ["ZRANGE", key, first, last, *any_("", "REV").split(), *scores],
                ["ZRANGE", key, low, high, "BYSCORE", *any_("", "REV").split(), *limit, *scores],
                ["ZRANGEBYSCORE", key, low, high, *limit, *scores], ["ZCOUNT", key, low, high], ["ZRANK", key, "m"],
                ["ZREMRANGEBYSCORE", key, low, high], ["ZREMRANGEBYRANK", key, first, last],
                ["ZPOPMIN", key, *any_("", "2").split()], ["ZUNIONSTORE", any_(*KEYS), "1", key],
            ],
        }  # fmt: skip
        wrong = [["GET"], ["HSET", key, "f"], ["ZADD", key, "1"], ["SET", key, "1", "PZ"], ["ZADD", key, "x", "m"]]
        chosen = self.random.choice([*kinds.values(), *kinds.values(), [self.random.choice(wrong)]])
        return self.random.choice(chosen)


def _comparable(command: list[str], reply: object) -> object:
    if isinstance(reply, redis.RedisError):
        return "error"
    if command[0] == "HGETALL":
        assert isinstance(reply, list)
        return dict(zip(reply[::2], reply[1::2], strict=True))
    if command[0] in ("PTTL", "TTL"):
        assert isinstance(reply, int)
        return (reply + 5_000) // 10_000 if command[0] == "PTTL" else (reply + 5) // 10
    return reply


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_the_store_answers_random_commands_as_redis_does(redis_url, interpreter) -> None:
    commands, store = Commands(f"{SEED} {interpreter}"), LuaServer(interpreter)
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        client.response_callbacks.clear()
        done: list[list[str]] = []
        for _ in range(COMMANDS):
            command = commands.next()
            done.append(command)
            try:
                wanted = client.execute_command(*command)
            except redis.RedisError as error:
                wanted = error
            reply = store.execute(time.time_ns() // 1000, tuple(command)).value
            replies = _comparable(command, reply), _comparable(command, wanted)
            assert replies[0] == replies[1], f"{done[-8:]}: {reply!r}, but Redis answers {wanted!r}"


def _run(store: LuaServer, source: str, *keys: str) -> object:
    sha = store.execute(1, ("SCRIPT", "LOAD", source)).text
    return store.execute(1, ("EVALSHA", sha, len(keys), *keys)).value


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("return redis.call('GET', 'b{1}')", "did not declare"),
        ("return redis.call('MGET', KEYS[1], 'b{1}')", "did not declare"),
        ("return redis.call('LPOS', KEYS[1])", "wrong number of arguments"),
        ("return redis.call('KEYS', '*')", "unknown command"),
        ("return redis.call('ZADD', KEYS[1], 'ZZ', 1, 'a')", "not a valid float|syntax error"),
        ("return redis.call('SPUBLISH', 'c{2}', 'text')", "another slot"),
        ("return redis.call('SET', KEYS[1], {})", "must be strings or integers"),
        ("unknown = 1", "readonly"),
        ("return unknown", "nonexistent global"),
    ],
)
def test_a_script_that_breaks_a_rule_of_the_cluster_fails(source, problem) -> None:
    reply = _run(LuaServer(), source, "a{1}")
    assert isinstance(reply, redis.ResponseError)
    assert re.search(problem, str(reply))


def test_a_script_whose_keys_have_different_tags_fails() -> None:
    assert "slot" in str(_run(LuaServer(), "return 1", "a{1}", "a{2}"))
