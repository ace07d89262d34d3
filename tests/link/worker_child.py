"""A Celery worker as the agent runs it, for tests: `python -m tests.link.worker_child NODE REDIS_URL`.

It consumes the node's queue and appends what it got to the node's stream `log:<node>:echo`.
"""

from __future__ import annotations

import sys
from typing import Any

from celery import Celery

from sparkweb.celery_common import celery_settings, worker_run
from sparkweb.node_link.acl import agent_transport_options, queue_name
from sparkweb.streams import Streams


def main() -> None:
    node_name, redis_url = sys.argv[1:3]
    streams = Streams(redis_url)
    app = Celery("sparkweb-agent", fixups=set())
    app.conf.update(celery_settings(redis_url))
    app.conf.update(
        broker_transport_options=agent_transport_options(node_name), task_default_queue=queue_name(node_name)
    )

    @app.task(name="test.echo")
    def echo(**arguments: Any) -> None:
        streams.append(f"log:{node_name}:echo", arguments)

    worker_run(app, name=f"agent@{node_name}", threads=4, queues=[queue_name(node_name)])


if __name__ == "__main__":
    main()
