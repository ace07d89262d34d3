"""Doing what pages ask of the archive, in the archive process: one by one, at least once.

    # transcripts_app/importing/handlers/<subject>.py
    @handler("prices_apply")
    def prices_apply(job: Job) -> dict[str, Any]:
        ...  # job.payload, job.writer, job.progress(done, total, "words")
        return {"sessions": 3}

A handler may be run again with the same payload, for the process may be killed in
between: what is done already must be found done. It raises RequestRefused with a
sentence for what cannot be done.
"""

from __future__ import annotations

import pkgutil
import time
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any

import structlog
from django.utils import timezone

from transcripts_app.importing import handlers
from transcripts_app.importing.writer import Writer
from transcripts_app.models_requests import ArchiveRequest, RequestState

log = structlog.get_logger(__name__)

TRIES_MOST = 3
PROGRESS_SECONDS = 0.5
KEPT = timedelta(days=30)


class RequestRefused(Exception):
    """It cannot be done; the sentence says why."""


class Job:
    """One request as its handler sees it."""

    def __init__(self, request: ArchiveRequest, writer: Writer) -> None:
        self.id, self.payload, self.writer = request.pk, request.payload, writer
        self.requested_by = request.requested_by.username if request.requested_by else ""
        self._told = 0.0

    def progress(self, done: int, total: int, words: str = "") -> None:
        """Tell how far it is; kept at most each half second."""
        now = time.monotonic()
        if now - self._told >= PROGRESS_SECONDS:
            self._told = now
            told = {"done": done, "total": total, "words": words}
            ArchiveRequest.objects.filter(pk=self.id).update(progress=told)


Handler = Callable[[Job], dict[str, Any] | None]
_HANDLERS: dict[str, Handler] = {}


def handler(kind: str) -> Callable[[Handler], Handler]:
    """Make a function the one that does requests of `kind`."""

    def register(function: Handler) -> Handler:
        if _HANDLERS.setdefault(kind, function) is not function:
            raise ValueError(f"two handlers for {kind}")
        return function

    return register


def handlers_load() -> None:
    """Import every module of handlers."""
    for module in pkgutil.iter_modules(handlers.__path__, handlers.__name__ + "."):
        import_module(module.name)


def requests_wait() -> bool:
    """Whether there is something to do."""
    return _due().exists()


def request_next(writer: Writer) -> bool:
    """Do the oldest request that is due; whether there was one."""
    request = _due().select_related("requested_by").order_by("pk").first()
    if request is None:
        return False
    request.tries += 1
    request.state, request.started_at = RequestState.RUNNING, request.started_at or timezone.now()
    request.save(update_fields=["tries", "state", "started_at"])
    if request.tries > TRIES_MOST:
        _end(request, error=f"The archive process ended {TRIES_MOST} times while it did this.")
        return True
    function = _HANDLERS.get(request.kind)
    if function is None:
        _end(request, error=f"Nothing in this version of SparkWeb does {request.kind}.")
        return True
    try:
        _end(request, result=function(Job(request, writer)) or {})
    except RequestRefused as refusal:
        _end(request, error=str(refusal))
    except Exception as error:  # the next request must not wait for this one
        log.exception("request failed", request=request.pk, kind=request.kind)
        _end(request, error=f"It failed: {type(error).__name__}: {error}"[:500])
    return True


def requests_prune() -> int:
    """Forget what ended long ago; how many."""
    ended = ArchiveRequest.objects.filter(ended_at__lt=timezone.now() - KEPT)
    return ended.delete()[0]


def _due() -> Any:
    """Those left running by a process that was killed are due again: only one process does requests."""
    live = (RequestState.REQUESTED, RequestState.RUNNING)
    return ArchiveRequest.objects.filter(state__in=live, due_at__lte=timezone.now())


def _end(request: ArchiveRequest, *, result: dict[str, Any] | None = None, error: str = "") -> None:
    request.state = RequestState.FAILED if error else RequestState.DONE
    request.result, request.error, request.ended_at = result or {}, error, timezone.now()
    request.save(update_fields=["state", "result", "error", "ended_at"])
