"""What all Celery processes of ours have in common, the agent's too."""

from __future__ import annotations

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
