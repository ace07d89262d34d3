"""Telling nodes of runs: what may begin, the job of a run, its cancellation."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from sandbox_app.fair_queue import Call, Limits, next_runs
from sandbox_app.job import INLINE_ARGUMENTS_BYTES, Job, Policy, SessionJob
from sandbox_app.models import AuditHead, RunState, ToolRun, ToolSession
from sandbox_app.places import Place, free_by_node, places
from sandbox_app.run_frames import run_publish
from sparkweb.installation import installation_read
from sparkweb.node_link import commands
from sparkweb.sealed import SealBroken, unseal

log = structlog.get_logger(__name__)

SEAL_PURPOSE = "tool-arguments"
SESSION_IDLE_SECONDS = 900
TTL_SECONDS = 30
UNDER_WAY = (RunState.REQUESTED, RunState.RUNNING)


def queue_lock() -> None:
    """Let nobody else decide who may begin until this transaction ends.

    The head of the audit is the lock, for whoever lets a run in writes there too. SQLite's
    transactions exclude each other anyhow.
    """
    if connection.vendor == "postgresql":
        AuditHead.objects.select_for_update().filter(pk=1).first()


def limits_of(found: Iterable[Place]) -> Limits:
    """The settings, and the memory of the nodes."""
    return Limits(settings.SANDBOX_USER_RUNS, settings.SANDBOX_NODE_RUNS, free_by_node(found))


def calls_now(now: datetime) -> tuple[list[Call], list[Call]]:
    """Return the runs that wait in the queue, and those under way."""
    rows = ToolRun.objects.filter(live=True).exclude(state=RunState.APPROVAL)
    fields = ("uid", "state", "user_id", "tool_name", "session_id", "node_name", "policy", "queued_at")
    waiting: list[Call] = []
    running: list[Call] = []
    for row in rows.values(*fields, "tool__parallel_limit"):
        call = Call(
            uid=row["uid"],
            user=row["user_id"],
            tool=row["tool_name"],
            tool_limit=row["tool__parallel_limit"] or 1,
            session=row["session_id"],
            node=row["node_name"],
            memory_bytes=int(row["policy"].get("memory_bytes") or 0),
            waits_seconds=(now - row["queued_at"]).total_seconds(),
            begun=row["state"] == RunState.RUNNING,
        )
        (waiting if row["state"] == RunState.QUEUED else running).append(call)
    return waiting, running


def queue_dispatch() -> int:
    """Let in what may begin now, and tell the nodes on commit. Returns how many."""
    if not ToolRun.objects.filter(live=True, state=RunState.QUEUED).exists():
        return 0
    found = places()
    online = {place.node.name for place in found}
    with transaction.atomic():
        queue_lock()
        waiting, running = calls_now(timezone.now())
        waiting = [call for call in waiting if call.node in online]
        return sum(run_let_in(uid) for uid in next_runs(waiting, running, limits_of(found)))


def run_let_in(uid: str) -> bool:
    """Move a queued run on to its node; False if it had moved already."""
    now = timezone.now()
    moved = ToolRun.objects.filter(uid=uid, live=True, state=RunState.QUEUED).update(
        state=RunState.REQUESTED, sent_at=now
    )
    if moved:
        run = ToolRun.objects.select_related("session").get(uid=uid)
        transaction.on_commit(lambda: run_send(run))
        run_publish(run)
    return bool(moved)


def run_send(run: ToolRun, arguments: dict[str, Any] | None = None) -> bool:
    """Tell the node of a run; False when Redis is gone, or its arguments can no longer be read.

    Twice is as good as once: the node drops what it has already.
    """
    try:
        job = job_of(run, arguments_of(run) if arguments is None else arguments)
    except SealBroken as error:
        log.error("the arguments of a run cannot be read", run=run.uid, reason=str(error))
        return False
    return commands.send(run.node_name, "sandbox.run", job=job.to_json())


def run_cancel_send(run: ToolRun, reason: str) -> bool:
    """Tell the node to end a run, also one whose job has not reached it yet."""
    return commands.send(
        run.node_name, "sandbox.cancel", run=run.uid, generation=run.generation, reason=reason[:200]
    )


def arguments_of(run: ToolRun) -> dict[str, Any]:
    """The arguments as they run. Raises SealBroken when the installation's key is another one."""
    found: dict[str, Any] = json.loads(unseal(run.sealed_arguments, SEAL_PURPOSE))
    return found


def job_of(run: ToolRun, arguments: dict[str, Any]) -> Job:
    """What the node is told."""
    inline = len(run.sealed_arguments) * 3 // 4 <= INLINE_ARGUMENTS_BYTES
    policy = {**run.policy, "egress": tuple(run.policy.get("egress", ()))}
    return Job(
        run=run.uid,
        generation=run.generation,
        installation=_installation(settings.DATA_DIR),
        node=run.node_name,
        tool=run.tool_name,
        tool_digest=run.tool_digest,
        runner="host" if run.runner == "host" else "container",
        program=run.program,
        policy=Policy(**policy),
        arguments=arguments if inline else None,
        arguments_digest=run.arguments_digest,
        session=session_job(run.session) if run.session else None,
        ttl_seconds=TTL_SECONDS,
    )


def session_job(session: ToolSession) -> SessionJob:
    """What a node needs to know of a session."""
    return SessionJob(
        session.uid, session.size_bytes, session.inodes, SESSION_IDLE_SECONDS, generation=session.generation
    )


@cache
def _installation(data_dir: Path) -> str:
    return installation_read(data_dir)
