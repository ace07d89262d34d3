"""Ask nodes to fetch weights and images ahead, or to delete some. Every change is audited."""

from __future__ import annotations

import re
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from metrics_app.models import Node, NodeStatus
from models_app.exceptions import StorageRefused
from models_app.models_storage import (
    JobDesired,
    JobKind,
    JobState,
    StorageEvent,
    StorageItem,
    StorageJob,
)
from models_app.storage_uses import item_uses, uses_on_node
from sparkweb import live
from sparkweb.accounts.actor import Actor, audit
from sparkweb.node_link import commands

REPO_TYPES = ("model", "dataset")
PATTERNS_MOST = 20
_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_REVISION = re.compile(r"[A-Za-z0-9][\w.-]{0,60}(/[A-Za-z0-9][\w.-]{0,60}){0,3}")
_PATTERN = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_OLLAMA = re.compile(r"[A-Za-z0-9][\w.-]*(:\d+)?(/[\w.-]+){0,3}(:[\w.-]+)?")
_IMAGE = re.compile(
    r"[A-Za-z0-9][\w.-]*(:\d+)?(/[\w.-]+)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?", re.ASCII
)


def download_create(
    *, node: Node, repo: str, actor: Actor, repo_type: str = "model", revision: str = "", patterns: list[str]
) -> tuple[StorageJob, bool]:
    """Ask for a Hugging Face repository to be downloaded. Returns the job, and False if it was live already.

    `revision` is a branch, tag or commit (main if empty), `patterns` name the files (all if
    empty). Raises StorageRefused: repo_invalid, revision_invalid, patterns_invalid, node_offline.
    """
    revision = revision or "main"
    if repo_type not in REPO_TYPES or not _REPO.fullmatch(repo) or ".." in repo or "--" in repo:
        raise StorageRefused(
            f"{repo[:80]!r} is no repository; write it as on the hub: org/name", "repo_invalid"
        )
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise StorageRefused(f"{revision[:80]!r} is no branch, tag or commit", "revision_invalid")
    if len(patterns) > PATTERNS_MOST or not all(_PATTERN.fullmatch(pattern) for pattern in patterns):
        raise StorageRefused(
            f"Patterns: at most {PATTERNS_MOST}, each of 1 to 200 characters, like *.safetensors",
            "patterns_invalid",
        )
    subject = {"repo_type": repo_type, "repo": repo, "revision": revision, "patterns": patterns}
    title = repo if revision == "main" else f"{repo}@{revision}"
    if repo_type == "dataset":
        title = f"dataset {title}"
    return _create(node, JobKind.HF_DOWNLOAD, title, subject, actor)


def ollama_pull_create(*, node: Node, model: str, actor: Actor) -> tuple[StorageJob, bool]:
    """Ask for an Ollama model to be pulled into a server of the node. Raises StorageRefused."""
    if len(model) > 200 or not _OLLAMA.fullmatch(model):
        raise StorageRefused(f"{model[:80]!r} is no Ollama model; write it as name:tag", "model_invalid")
    return _create(node, JobKind.OLLAMA_PULL, model, {"model": model}, actor)


def image_pull_create(*, node: Node, image: str, actor: Actor) -> tuple[StorageJob, bool]:
    """Ask for an image to be pulled. Raises StorageRefused."""
    if len(image) > 300 or not _IMAGE.fullmatch(image):
        raise StorageRefused(
            f"{image[:80]!r} is no image name; write it as registry/name:tag", "image_invalid"
        )
    return _create(node, JobKind.IMAGE_PULL, image, {"image": image}, actor)


def delete_create(*, node: Node, key: str, actor: Actor) -> tuple[StorageJob, bool]:
    """Ask for something that the node listed to be deleted: an item, a revision of it, its partial files.

    Raises StorageRefused: not_listed, in_use while a live launch needs it, job_live while
    something else is done with it, node_offline.
    """
    item, part = item_of_key(node, key)
    live_uses = [use.name for use in item_uses(item, uses_on_node(node)) if use.live]
    if live_uses and part != "partial":
        raise StorageRefused(
            f"{item.name} is used by {', '.join(live_uses)}, which runs on {node}; stop that first",
            "in_use",
            {"used_by": live_uses},
        )
    title = f"{item.name} ({part[:12]})" if part else item.name
    busy = StorageJob.objects.filter(node=node, live=True).exclude(kind=JobKind.DELETE)
    if other := next((job for job in busy if item.name in (*job.subject.values(), job.title)), None):
        raise StorageRefused(f"{other} is under way; cancel it first", "job_live")
    return _create(node, JobKind.DELETE, title, {"key": key, "item": item.key}, actor)


def item_of_key(node: Node, key: str) -> tuple[StorageItem, str]:
    """Return the listed item that a key is of, and which part of it ("", a commit, or partial)."""
    base, _, part = key.partition("@") if key.startswith("hf:") else (key, "", "")
    item = StorageItem.objects.filter(node=node, key=base.replace("\0", "")).first()
    known = part in ("", "partial") or (item and part in [row.get("commit") for row in item.revisions])
    if item is None or not known or "\0" in key:
        raise StorageRefused(f"{node} lists no such thing; look again", "not_listed")
    return item, part


def _create(
    node: Node, kind: JobKind, title: str, subject: dict[str, Any], actor: Actor
) -> tuple[StorageJob, bool]:
    if job := _live(node, kind, title):
        return job, False
    if node.status in (NodeStatus.OFFLINE, NodeStatus.NEVER):
        raise StorageRefused(
            f"{node} is {node.get_status_display().lower()}: nothing is heard from it; start its agent first",
            "node_offline",
        )
    try:
        with transaction.atomic():
            job = StorageJob.objects.create(
                node=node,
                node_name=node.name,
                kind=kind,
                title=title,
                subject=subject,
                requested_by=actor.user,
            )
            audit(actor, f"storage_{kind}", f"{title} on {node.name}", job=job.uid, **subject)
            job_event(job, "requested", f"Requested by {actor.label}", actor.label)
            transaction.on_commit(lambda: job_nudge(job))
    except IntegrityError:
        if live_job := _live(node, kind, title):
            return live_job, False
        raise
    return job, True


def _live(node: Node, kind: str, title: str) -> StorageJob | None:
    return StorageJob.objects.filter(node=node, kind=kind, title=title, live=True).first()


def job_nudge(job: StorageJob) -> bool:
    """Tell the node what is desired; False when Redis is gone (reconcile tells it again)."""
    if job.desired == JobDesired.CANCELLED:
        return commands.send(job.node_name, "storage.job_cancel", job=job.uid, generation=job.generation)
    subject = {name: value for name, value in job.subject.items() if name != "item"}
    return commands.send(
        job.node_name,
        "storage.job_run",
        job=job.uid,
        generation=job.generation,
        kind=job.kind,
        subject=subject,
    )


def job_cancel(*, job: StorageJob, actor: Actor) -> StorageJob:
    """Ask for a job to end; what came stays, and a later one goes on from it. An ended one stays as it is."""
    with transaction.atomic():
        row = StorageJob.objects.select_for_update().get(pk=job.pk)
        if not row.live or row.desired == JobDesired.CANCELLED:
            return row
        row.desired, row.state, row.generation = JobDesired.CANCELLED, JobState.CANCELLING, row.generation + 1
        row.save(update_fields=["desired", "state", "generation"])
        audit(actor, "storage_cancel", str(row), job=row.uid)
        job_event(row, "cancel", f"Cancelled by {actor.label}", actor.label)
        transaction.on_commit(lambda: job_nudge(row))
    return row


def job_again(*, job: StorageJob, actor: Actor) -> tuple[StorageJob, bool]:
    """Ask once more for what an ended job was about. Raises StorageRefused as the first time."""
    if job.node is None:
        raise StorageRefused(f"{job.node_name} was removed", "node_gone")
    if job.kind == JobKind.DELETE:
        return delete_create(node=job.node, key=str(job.subject.get("key")), actor=actor)
    return _create(job.node, JobKind(job.kind), job.title, job.subject, actor)


def job_end(job: StorageJob, state: str, code: str = "", reason: str = "") -> bool:
    """End a live job; False if it had ended. Tells browsers on commit."""
    now = timezone.now()
    ended = StorageJob.objects.filter(pk=job.pk, live=True).update(
        state=state, live=False, ended_at=now, failure_code=code, failure_reason=reason, message=""
    )
    if ended:
        words = {"done": "Done", "cancelled": "Cancelled"}.get(state, reason)
        job_event(job, state, f"{words}. {reason}".strip() if state == "done" and reason else words)
    return bool(ended)


def job_event(job: StorageJob, kind: str, message: str, actor_label: str = "") -> None:
    """Append to a job's timeline and tell browsers once the transaction is committed."""
    StorageEvent.objects.create(job=job, kind=kind, message=message, actor_label=actor_label)
    transaction.on_commit(lambda: storage_publish(job.node_name))


def storage_publish(node_name: str) -> None:
    """Tell browsers that a node's storage changed."""
    live.publish(f"storage:{node_name}", {"type": "storage", "node": node_name})


def scan_request(*, node: Node) -> bool:
    """Ask a node to look at its storage again; False if it was not told."""
    return commands.send(node.name, "storage.scan")
