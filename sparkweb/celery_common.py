"""What all Celery processes of ours have in common, the agent's too."""

from __future__ import annotations

import logging
import warnings

from celery import Celery
from celery.apps.worker import Worker
from celery.exceptions import SecurityWarning
from celery.signals import setup_logging

from sparkweb import config


def celery_settings(redis_url: str) -> dict[str, object]:
    """Settings that every Celery process of ours has in common."""
    return {
        "broker_url": config.broker_url(redis_url),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "global_keyprefix": "sparkweb:",
            "visibility_timeout": 60,
            "socket_timeout": 5,
            "socket_connect_timeout": 1,
            "socket_keepalive": True,
        },
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_backend": None,
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "worker_prefetch_multiplier": 1,
        "enable_utc": True,
    }


def logging_keep() -> None:
    """Leave logging as logs_setup() made it, and Celery's own chatter out of it.

    Without a receiver of this signal a starting worker sets the root logger to its own level, and
    whatever we say below a warning is lost. Source: celery.app.log.Logging.setup_logging_subsystem.
    """
    setup_logging.connect(_logging_kept, weak=False)
    logging.getLogger("celery").setLevel(logging.WARNING)


def _logging_kept(**_: object) -> None:
    """That there is a receiver is what counts."""


def worker_run(app: Celery, *, name: str, threads: int, queues: list[str]) -> None:
    """Consume `queues` in the main thread until SIGTERM or SIGINT.

    Thread pool, and none of the chatter between workers: an idle one costs 0.1 % of a core.
    """
    # Said of pickle, which `accept_content` refuses; an agent needs root for the host's figures.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    logging_keep()
    Worker(
        app=app,
        hostname=name,
        pool="threads",
        concurrency=threads,
        queues=queues,
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    ).start()
