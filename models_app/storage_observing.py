"""What nodes say about their storage: listings and ends of jobs as facts, progress in reports."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from metrics_app.models import Node, NodeStatus
from models_app.models_storage import (
    JobDesired,
    JobState,
    NodeStorage,
    StorageItem,
    StorageJob,
    StorageKind,
)
from models_app.storage_jobs import job_end, job_event, job_nudge, storage_publish

NUDGE_EVERY_SECONDS = 5.0
ITEMS_MOST = 500
JOBS_MOST = 50


@dataclass
class StorageSeen:
    """The newest `storage.jobs` of each node, by job; reports write, reconcile reads."""

    jobs: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


SEEN = StorageSeen()


def storage_reported(node_name: str, section: Any, _report: dict[str, Any]) -> None:
    """Report handler of the section `storage`."""
    rows = section.get("jobs") if isinstance(section, dict) else None
    if not isinstance(rows, list):
        return
    jobs = {
        row["job"]: row
        for row in rows[:JOBS_MOST]
        if isinstance(row, dict) and isinstance(row.get("job"), str)
    }
    with SEEN.lock:
        SEEN.jobs[node_name] = jobs


# Facts: each is applied once, inside the intake's transaction -------------------


def storage_listed(node_name: str, data: dict[str, Any]) -> None:
    """Take over a node's listing: what it does not name any more is gone."""
    node = Node.objects.filter(name=node_name).first()
    if node is None:
        return
    left = data.get("left_out") or {}
    NodeStorage.objects.update_or_create(
        node=node,
        defaults={
            "listed_at": timezone.now(),
            "areas": _clean(data["areas"]) if isinstance(data.get("areas"), dict) else {},
            "left_out_count": _count(left.get("count")) or 0,
            "left_out_bytes": _count(left.get("bytes")) or 0,
        },
    )
    StorageItem.objects.filter(node=node).delete()
    rows = [entry for entry in data.get("entries") or [] if isinstance(entry, dict) and entry.get("key")]
    items = {item.key: item for item in (_item(node, entry) for entry in rows[:ITEMS_MOST])}
    StorageItem.objects.bulk_create(items.values())
    transaction.on_commit(lambda: storage_publish(node_name))


def _item(node: Node, entry: dict[str, Any]) -> StorageItem:
    kind = entry.get("kind")
    detail = {name: entry[name] for name in _DETAIL if entry.get(name)}
    return StorageItem(
        node=node,
        kind=kind if kind in StorageKind.values else StorageKind.HF_MODEL,
        key=_text(entry.get("key"), 320),
        name=_text(entry.get("name"), 320),
        size_bytes=_count(entry.get("bytes")) or 0,
        partial_bytes=_count(entry.get("partial_bytes")) or 0,
        used_at=_at(entry.get("used_at")),
        incomplete=_text(entry.get("incomplete"), 200),
        note=_text(entry.get("note"), 320),
        detail=_clean(detail),
    )


_DETAIL = ("revisions", "tags", "own_bytes", "created_at", "containers")


def storage_job_ended(node_name: str, data: dict[str, Any]) -> None:
    job = StorageJob.objects.filter(
        uid=_text(data.get("job"), 16),
        node_name=node_name,
        live=True,
        generation__gte=_count(data.get("generation")) or 0,
    ).first()
    if job is None:
        return
    outcome = data.get("outcome")
    state = outcome if outcome in ("done", "failed", "cancelled") else JobState.FAILED
    figures = {name: _count(data.get(name)) for name in ("done_bytes", "total_bytes")}
    StorageJob.objects.filter(pk=job.pk).update(
        **{name: one for name, one in figures.items() if one is not None}
    )
    job_end(job, state, _text(data.get("code"), 40), _text(data.get("reason"), 2000))


FACTS = {"storage_listed": storage_listed, "storage_job_ended": storage_job_ended}


# Reconcile ----------------------------------------------------------------------


@dataclass
class StorageReconciler:
    """Compares live jobs with what nodes report, each second; remembers when each was nudged (monotonic)."""

    seen: StorageSeen
    clock: Callable[[], float] = time.monotonic
    nudged: dict[str, float] = field(default_factory=dict)

    def storage_reconcile(self) -> int:
        """Nudge what is not under way, take over progress. Returns how many live jobs there are."""
        jobs = list(StorageJob.objects.filter(live=True).select_related("node"))
        self.nudged = {uid: at for uid, at in self.nudged.items() if uid in {job.uid for job in jobs}}
        for job in jobs:
            self._one(job)
        return len(jobs)

    def _one(self, job: StorageJob) -> None:
        if job.node is None:
            job_end(job, JobState.FAILED, "node_gone", f"{job.node_name} was removed.")
            return
        with self.seen.lock:
            entry = self.seen.jobs.get(job.node_name, {}).get(job.uid)
        if job.node.status != NodeStatus.ONLINE:
            return
        if entry is not None:
            self._progress(job, entry)
        if (entry is None or job.desired == JobDesired.CANCELLED) and self._due(job):
            job_nudge(job)

    def _due(self, job: StorageJob) -> bool:
        """Whether a nudge is due; the first one was sent when the job was made or cancelled."""
        now = self.clock()
        if now - self.nudged.setdefault(job.uid, now) < NUDGE_EVERY_SECONDS:
            return False
        self.nudged[job.uid] = now
        return True

    def _progress(self, job: StorageJob, entry: dict[str, Any]) -> None:
        """Store how far a job is, when it moved."""
        changes: dict[str, Any] = {
            "done_bytes": _count(entry.get("done_bytes")),
            "total_bytes": _count(entry.get("total_bytes")),
            "message": _text(entry.get("message"), 300),
        }
        if job.state == JobState.REQUESTED:
            changes |= {"state": JobState.RUNNING, "started_at": timezone.now()}
        if all(getattr(job, name) == value for name, value in changes.items()):
            return
        with transaction.atomic():
            moved = StorageJob.objects.filter(pk=job.pk, live=True, state=job.state).update(**changes)
            if moved and "state" in changes:
                job_event(job, "running", f"{job.node} began")


def _count(value: Any) -> int | None:
    """A number of bytes from a node; None for what cannot be one."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value < 2**60 else None


def _text(value: Any, limit: int) -> str:
    return str(value or "").replace("\0", "\N{REPLACEMENT CHARACTER}")[:limit]


def _clean(value: Any) -> Any:
    """JSON from a node without NUL, which PostgreSQL takes in no text."""
    if isinstance(value, str):
        return _text(value, 400)
    if isinstance(value, list):
        return [_clean(one) for one in value[:50]]
    if isinstance(value, dict):
        return {_text(name, 60): _clean(one) for name, one in value.items()}
    return value


def _at(value: Any) -> datetime | None:
    """A node's wall clock as a time; None for what cannot be one."""
    try:
        return datetime.fromtimestamp(float(value), tz=UTC) if value else None
    except (TypeError, ValueError, OverflowError, OSError):
        return None


STORAGE_RECONCILER = StorageReconciler(SEEN)
