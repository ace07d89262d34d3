"""The control process.

The main thread is a Celery worker (threads) with an embedded beat; the
intake, reconcile, the outbox and beat each have a thread of their own.
"""

from __future__ import annotations

import threading

import structlog
from celery import beat
from django.db import DatabaseError, close_old_connections, connections

from metrics_app.history.recorder import RECORDER
from models_app.observing import OBSERVED
from models_app.reconcile import RECONCILER
from sparkweb import live
from sparkweb.celery import app
from sparkweb.celery_common import worker_run
from sparkweb.logs import logs_setup
from sparkweb.node_link.intake import Intake
from sparkweb.outbox.loop import OutboxLoop
from sparkweb.shared_streams import shared_streams

log = structlog.get_logger(__name__)

QUEUES = ["control.events", "control.work"]
THREADS = 4
RECONCILE_EVERY_SECONDS = 1.0


class ReconcileLoop(threading.Thread):
    """Reconciles each second, and at once when a node reports something new."""

    def __init__(self) -> None:
        super().__init__(name="reconcile", daemon=True)
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.is_set():
            OBSERVED.changed.wait(RECONCILE_EVERY_SECONDS)
            OBSERVED.changed.clear()
            try:
                RECONCILER.launch_reconcile()
            except DatabaseError as error:
                log.warning("database does not answer; reconcile waits", error=str(error))
                close_old_connections()
            except Exception:
                log.exception("reconcile failed")
        connections.close_all()

    def stop(self) -> None:
        self._stopped.set()
        OBSERVED.changed.set()


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    logs_setup("control")
    intake = Intake(shared_streams())
    reconcile = ReconcileLoop()
    outbox = OutboxLoop()
    clock = threading.Thread(target=beat.Service(app).start, name="beat", daemon=True)
    intake.start()
    reconcile.start()
    outbox.start()
    RECORDER.start()
    clock.start()
    log.info("control runs", queues=QUEUES)
    try:
        worker_run(app, name="control", threads=THREADS, queues=QUEUES)
    finally:
        outbox.stop()
        reconcile.stop()
        intake.stop()
        RECORDER.close()
        live.close()
