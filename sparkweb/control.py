"""The control process.

The main thread is a Celery worker (threads) with an embedded beat; the
intake, reconcile, the day (schedules, idle unload), storage, tool runs, tests of the fabric, the outbox
and beat each have a thread of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from celery import beat
from django.db import DatabaseError, close_old_connections, connections

from metrics_app.alerts.engine import ENGINE
from metrics_app.fabric import rounds as fabric
from metrics_app.history.recorder import RECORDER
from models_app.day import DAY, EVERY_SECONDS
from models_app.observing import OBSERVED
from models_app.reconcile import RECONCILER
from models_app.storage_observing import STORAGE_RECONCILER
from sandbox_app import image_builds, managed
from sandbox_app import reconcile as sandbox
from sandbox_app.observing import SEEN as RUNS_SEEN
from sandbox_app.session_observing import sessions_reconcile
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
SESSIONS_EVERY_SECONDS = 2.0


class Loop(threading.Thread):
    """Does `work` every `every_seconds`, and at once when `wake` is set."""

    def __init__(
        self, name: str, work: Callable[[], object], every_seconds: float, wake: threading.Event | None = None
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._work, self._every, self._wake = work, every_seconds, wake or threading.Event()
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.is_set():
            self._wake.wait(self._every)
            self._wake.clear()
            try:
                self._work()
            except DatabaseError as error:
                log.warning("database does not answer; it waits", loop=self.name, error=str(error))
                close_old_connections()
            except Exception:
                log.exception("loop failed", loop=self.name)
        connections.close_all()

    def stop(self) -> None:
        self._stopped.set()
        self._wake.set()


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    logs_setup("control")
    intake = Intake(shared_streams())
    reconcile = Loop("reconcile", RECONCILER.launch_reconcile, RECONCILE_EVERY_SECONDS, OBSERVED.changed)
    day = Loop("day", DAY.round, EVERY_SECONDS)
    storage = Loop("storage", STORAGE_RECONCILER.storage_reconcile, RECONCILE_EVERY_SECONDS)
    sessions = Loop("sessions", sessions_reconcile, SESSIONS_EVERY_SECONDS)
    runs = Loop("runs", sandbox.RUN_RECONCILER.runs_reconcile, sandbox.EVERY_SECONDS, RUNS_SEEN.changed)
    images = Loop("images", image_builds.builds_reconcile, image_builds.EVERY_SECONDS)
    services = Loop("services", managed.services_reconcile, managed.EVERY_SECONDS)
    links = Loop("fabric", fabric.ROUNDS.round, fabric.EVERY_SECONDS)
    outbox = OutboxLoop()
    clock = threading.Thread(target=beat.Service(app).start, name="beat", daemon=True)
    intake.start()
    reconcile.start()
    day.start()
    storage.start()
    runs.start()
    sessions.start()
    images.start()
    services.start()
    links.start()
    outbox.start()
    RECORDER.start()
    ENGINE.start()
    clock.start()
    log.info("control runs", queues=QUEUES)
    try:
        worker_run(app, name="control", threads=THREADS, queues=QUEUES)
    finally:
        outbox.stop()
        links.stop()
        sessions.stop()
        services.stop()
        images.stop()
        runs.stop()
        storage.stop()
        day.stop()
        reconcile.stop()
        intake.stop()
        ENGINE.stop()
        RECORDER.close()
        live.close()
