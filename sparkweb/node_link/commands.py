"""Nudges to nodes: Celery tasks on the node's own queue, fire and forget."""

from __future__ import annotations

from typing import Any

import structlog
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from sparkweb.celery import app

log = structlog.get_logger(__name__)


def send(node_name: str, task: str, **arguments: Any) -> bool:
    """Put one task on a node's queue. False when Redis does not answer within about a second.

    Never raises for that: reconcile sends again. Arguments must be JSON-able.
    """
    try:
        app.send_task(task, kwargs=arguments, queue=f"node.{node_name}", ignore_result=True, retry=False)
    except (OperationalError, RedisError, OSError) as error:
        log.warning("nudge not sent", node=node_name, task=task, error=str(error))
        return False
    return True
