"""Nudges to nodes: Celery tasks on the node's own queue, fire and forget.

A nudge is worth nothing by itself: the row that asks for the work is committed before, and
reconcile sends again what has no effect. So it may be lost, doubled or late. It carries
launch, generation and `ttl_seconds`, never a deadline by a clock: the node counts the time to
live from receipt, and drops a nudge whose generation is older than one it has seen
(`journal.fence`), however long that lay in the queue.
"""

from __future__ import annotations

from typing import Any

import structlog
from kombu import Connection, pools
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from sparkweb.celery import app
from sparkweb.node_link.acl import queue_name
from sparkweb.shared_streams import shared_streams
from sparkweb.streams import StreamsDown

log = structlog.get_logger(__name__)

# A web request waits for this: connecting and sending take less than a second together.
TIMEOUT_SECONDS = 0.4
# An absent node's queue does not grow without end; reconcile sends again once it is back.
QUEUE_LIMIT = 200


def send(node_name: str, task: str, **arguments: Any) -> bool:
    """Put one task on a node's queue; False if it was not sent, which is logged.

    That is when Redis does not answer within about a second, or 200 nudges wait already.
    Never raises for it. Arguments must be JSON-able (kombu.exceptions.EncodeError else).
    """
    queue = queue_name(node_name)
    try:
        with pools.producers[_connection()].acquire(block=True, timeout=TIMEOUT_SECONDS) as producer:
            if producer.channel.client.llen(queue) >= QUEUE_LIMIT:
                log.warning("nudge not sent: too many wait", node=node_name, task=task, waiting=QUEUE_LIMIT)
                return False
            # Without `kwargsrepr` Celery writes the arguments out a second time, for logs that nobody keeps.
            app.send_task(
                task,
                kwargs=arguments,
                queue=queue,
                ignore_result=True,
                retry=False,
                producer=producer,
                argsrepr="()",
                kwargsrepr="{…}",
            )
    except (OperationalError, RedisError, OSError) as error:
        log.warning("nudge not sent", node=node_name, task=task, error=str(error))
        return False
    return True


def nodes_changed() -> None:
    """Tell the intake that node keys changed; without this it sees so within two seconds."""
    try:
        shared_streams().append("intake:nodes", {})
    except StreamsDown as error:
        log.info("the intake was not told of changed node keys", error=str(error))


def _connection() -> Connection:
    """Describe the connection for sending; kombu's pools keep one per description."""
    options = {
        **app.conf.broker_transport_options,
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "max_retries": 0,
        "connect_retries_timeout": TIMEOUT_SECONDS,
    }
    return Connection(app.conf.broker_url, transport_options=options, connect_timeout=TIMEOUT_SECONDS)
