"""The thread of control that delivers: several recipients at a time, one notice of each."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import structlog
from django.db import DatabaseError, close_old_connections, connections
from django.utils import timezone

from sparkweb.outbox.models import Notice
from sparkweb.outbox.services import notice_deliver, notices_due

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS = 1.0
AT_ONCE = 4


class OutboxLoop(threading.Thread):
    """Looks each second for what is due. A recipient that is slow holds up only what is meant for it."""

    def __init__(self) -> None:
        super().__init__(name="outbox", daemon=True)
        self._stopped = threading.Event()
        self._busy: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="outbox")

    def run(self) -> None:
        while not self._stopped.wait(LOOK_EVERY_SECONDS):
            try:
                self.look()
            except DatabaseError as error:
                log.warning("database does not answer; the outbox waits", error=str(error))
                close_old_connections()
            except Exception:
                log.exception("outbox failed")
        connections.close_all()

    def look(self) -> None:
        """Hand what is due to the pool, not more than one notice for a recipient at a time."""
        for notice in notices_due(timezone.now()):
            key = (notice.channel, notice.recipient)
            with self._lock:
                if key in self._busy:
                    continue
                self._busy.add(key)
            self._pool.submit(self._deliver, notice, key)

    def _deliver(self, notice: Notice, key: tuple[str, str]) -> None:
        """Deliver, and go on with the recipient's next ones for as long as each is taken."""
        try:
            next_one: Notice | None = notice
            while next_one is not None and not self._stopped.is_set():
                notice_deliver(next_one, timezone.now())
                next_one = _next_after(next_one)
        except DatabaseError as error:
            log.warning("database does not answer; a notice will be sent again", error=str(error))
            close_old_connections()
        except Exception:
            log.exception("notice failed", notice=notice.uid)
        finally:
            with self._lock:
                self._busy.discard(key)
            connections.close_all()

    def stop(self) -> None:
        self._stopped.set()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _next_after(notice: Notice) -> Notice | None:
    """Return the recipient's next due notice if this one was taken; after a failure it is left in peace."""
    notice.refresh_from_db()
    if notice.state == "waiting":
        return None
    due = Notice.objects.filter(
        channel=notice.channel, recipient=notice.recipient, state="waiting", next_at__lte=timezone.now()
    )
    return due.order_by("pk").first()
