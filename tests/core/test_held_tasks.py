"""A task of a dead worker, or of a lost connection, is redelivered after the visibility timeout by Redis's clock."""

import threading
import time

import pytest
from kombu import Connection, Message, Queue

from app.core.celery_config import RedisClockQoS
from app.core.extensions import celery
from app.core.redis_connection import redis_time
from tests.support.machine_speed import patience

pytestmark = pytest.mark.database("sqlite")

VISIBILITY_SECONDS = 60


@pytest.mark.parametrize("ahead", [-3600, 3600])
def test_an_unacknowledged_task_is_redelivered_after_the_timeout_and_not_before(
    in_context, redis_url, monkeypatch, ahead
):
    clock = time.time
    monkeypatch.setattr("kombu.transport.redis.time", lambda: clock() + ahead)
    monkeypatch.setattr("app.core.celery_config.time.time", lambda: clock() + ahead)
    options = {"visibility_timeout": VISIBILITY_SECONDS}
    with Connection(redis_url, transport_options=options) as connection:
        channel, queue = connection.default_channel, Queue("held")
        connection.Producer().publish("task", routing_key="held", declare=[queue])
        assert queue(channel).get(no_ack=False) is not None
        client, qos = channel.client, channel.qos
        assert isinstance(qos, RedisClockQoS)

        qos.restore_visible(interval=1)
        assert (client.hlen("unacked"), client.llen("held")) == (1, 0)

        (tag,) = client.zrange("unacked_index", 0, -1)
        client.zadd("unacked_index", {tag: redis_time(client) - VISIBILITY_SECONDS - 1})
        qos.restore_visible(interval=1)
        assert (client.hlen("unacked"), client.llen("held")) == (0, 1)


@pytest.mark.parametrize("end", [Message.ack, Message.reject, Message.requeue])
def test_a_lost_connection_neither_acknowledges_nor_ends_its_worker(in_context, redis_url, caplog, counted, end):
    lost = counted("dashboard_celery_lost_acknowledgements_total")
    with Connection(redis_url) as connection:
        channel, queue = connection.default_channel, Queue("lost")
        connection.Producer().publish("task", routing_key="lost", declare=[queue])
        message = queue(channel).get(no_ack=False)
        tag = message.delivery_tag
        channel._disconnect_pools()
        channel.connection.client = None  # as kombu leaves it when Redis is gone

        end(message)
        channel.close()

    assert counted("dashboard_celery_lost_acknowledgements_total") == lost + 1
    assert [each.delivery_tag for each in caplog.records if each.message == "task.not_acknowledged"] == [tag]

    with Connection(redis_url) as connection:
        assert connection.default_channel.client.hlen("unacked") == 1


def test_an_event_loop_learns_of_a_lost_control_connection_instead_of_waiting_on_a_new_one(in_context, redis_url):
    with Connection(redis_url, transport_options=celery.conf.broker_transport_options) as connection:
        channel, errors = connection.default_channel, []
        channel.subclient.psubscribe("control.*")
        channel._receive_one(channel.subclient)  # the confirmation
        channel.client.execute_command("CLIENT", "KILL", "TYPE", "PUBSUB")

        def receive():
            try:
                channel._receive_one(channel.subclient)
            except connection.connection_errors as error:
                errors.append(error)

        reading = threading.Thread(target=receive, daemon=True)
        reading.start()
        reading.join(patience(10))

        assert len(errors) == 1
