"""The cost of a connection stays in proportion to that of bare sockets, which answer the same client from memory."""

import pytest

from bench.connect import ConnectRun, environment
from bench.fanout_servers import Valkey

pytestmark = pytest.mark.alone

CLIENTS, ROUNDS = 200, 5  # the first does not count
SETTLE_SECONDS = 0.2


@pytest.fixture
def valkey_of_its_own():
    server = Valkey()
    yield server
    server.stop()


def test_a_connection_with_its_own_token_costs_at_most_twenty_bare_ones(valkey_of_its_own):
    with environment(valkey_of_its_own) as settings:
        servers = [ConnectRun(peer, valkey_of_its_own, settings, 0) for peer in ("ours", "floor")]
        try:
            costs = [[], []]
            for number in range(ROUNDS):
                for cost, server in zip(costs, servers, strict=True):
                    server.settle_seconds = SETTLE_SECONDS
                    cost.append(server.open(CLIENTS * number, CLIENTS))
        finally:
            for server in servers:
                server.stop()
    assert min(costs[0][1:]) / min(costs[1][1:]) < 20
