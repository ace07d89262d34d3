"""Ask nodes to build the image that tools run in, and take over what they say of it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from metrics_app.models import Node, NodeStatus
from metrics_app.selectors import node_snapshot
from sandbox_app.exceptions import ToolRefused
from sandbox_app.models_images import BuildState, ImageBuild
from sparkweb import live
from sparkweb.accounts.actor import Actor, audit
from sparkweb.node_link import commands

EVERY_SECONDS = 2.0
NUDGE_EVERY_SECONDS = 5.0
NETWORKS = ("default", "host")
BASE_DEFAULT = "debian:trixie-slim"
_BASE = re.compile(
    r"[A-Za-z0-9][\w.-]{0,100}(:\d+)?(/[\w.-]{1,100}){0,5}(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?",
    re.ASCII,
)
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]{1,60}")
EXTRA_MOST = 40


def build_create(
    *,
    node: Node,
    actor: Actor,
    base: str = "",
    libraries: bool = True,
    extra: list[str] | None = None,
    network: str = "default",
) -> tuple[ImageBuild, bool]:
    """Ask a node to build the sandbox image. Returns the build, and False if one was live already.

    `base` is a Debian or Ubuntu image; `libraries` are numpy, pandas and their friends; `extra` names
    more Debian packages.
    Raises ToolRefused: base_invalid, packages_invalid, network_invalid, node_offline.
    """
    base, packages = base or BASE_DEFAULT, list(extra or [])
    if not _BASE.fullmatch(base):
        raise ToolRefused(f"{base[:80]!r} is no image name; write it as registry/name:tag", "base_invalid")
    if len(packages) > EXTRA_MOST or not all(_PACKAGE.fullmatch(name) for name in packages):
        raise ToolRefused(
            f"Extra packages: at most {EXTRA_MOST} names of Debian packages", "packages_invalid"
        )
    if network not in NETWORKS:
        raise ToolRefused(f"Network: one of {', '.join(NETWORKS)}", "network_invalid")
    if running := _running(node.name):
        return running, False
    if node.status in (NodeStatus.OFFLINE, NodeStatus.NEVER):
        raise ToolRefused(
            f"{node} is offline: nothing is heard from it; start its agent first", "node_offline"
        )
    arguments = {"BASE": base, "DATA": "yes" if libraries else "no", "EXTRA": " ".join(packages)}
    try:
        with transaction.atomic():
            build = ImageBuild.objects.create(
                node=node, node_name=node.name, arguments=arguments, network=network, requested_by=actor.user
            )
            audit(actor, "sandbox_image_build", node.name, build=build.uid, **arguments)
            transaction.on_commit(lambda: build_nudge(build))
    except IntegrityError:
        if running := _running(node.name):
            return running, False
        raise
    return build, True


def build_cancel(*, build: ImageBuild, actor: Actor) -> ImageBuild:
    """Ask for a build to end. An ended one stays as it is."""
    with transaction.atomic():
        row = ImageBuild.objects.select_for_update().get(pk=build.pk)
        if not row.live or row.state == BuildState.CANCELLING:
            return row
        row.state, row.generation = BuildState.CANCELLING, row.generation + 1
        row.save(update_fields=["state", "generation"])
        audit(actor, "sandbox_image_cancel", row.node_name, build=row.uid)
        transaction.on_commit(lambda: build_nudge(row))
    return row


def build_nudge(build: ImageBuild) -> bool:
    """Tell the node what is wanted; False when Redis is gone (builds_reconcile tells it again)."""
    ImageBuild.objects.filter(pk=build.pk).update(sent_at=timezone.now())
    _publish(build.node_name)
    if build.state == BuildState.CANCELLING:
        return commands.send(
            build.node_name, "sandbox.image_cancel", job=build.uid, generation=build.generation
        )
    return commands.send(
        build.node_name,
        "sandbox.image_build",
        job=build.uid,
        generation=build.generation,
        arguments=build.arguments,
        network=build.network,
    )


def builds_reconcile() -> None:
    """Tell nodes again what they do not seem to work on."""
    waited = timezone.now() - timedelta(seconds=NUDGE_EVERY_SECONDS)
    due = ImageBuild.objects.filter(Q(sent_at=None) | Q(sent_at__lt=waited), live=True)
    for build in due.select_related("node"):
        gone = build.node is None or build.node.status in (NodeStatus.OFFLINE, NodeStatus.NEVER)
        if build.node is None:
            build_end(build, BuildState.FAILED, "Its node was removed")
        elif not gone and not _is_worked_on(build):
            build_nudge(build)


def _is_worked_on(build: ImageBuild) -> bool:
    seen = _seen(build.node_name)
    cancelled = build.state == BuildState.CANCELLING
    return seen.get("job") == build.uid and (not cancelled or seen.get("generation") == build.generation)


def _seen(node_name: str) -> dict[str, Any]:
    snapshot = node_snapshot(node_name) or {}
    section = (snapshot.get("report") or {}).get("sandbox")
    found = section.get("build") if isinstance(section, dict) else None
    return found if isinstance(found, dict) else {}


# What nodes say -------------------------------------------------------------------


def build_reported(node_name: str, section: dict[str, Any]) -> None:
    """Take over how far a node's build is, from the report's section `sandbox`."""
    told = section.get("build")
    if not isinstance(told, dict):
        return
    row = ImageBuild.objects.filter(uid=_text(told.get("job"), 16), node_name=node_name, live=True).first()
    step, steps = _count(told.get("step")), _count(told.get("steps"))
    if row is None or (row.step, row.state) == (step, BuildState.RUNNING):
        return
    ImageBuild.objects.filter(pk=row.pk, state__in=[BuildState.REQUESTED, BuildState.RUNNING]).update(
        state=BuildState.RUNNING, step=step, steps=steps, message=_text(told.get("message"), 200)
    )
    _publish(node_name)


def image_built(node_name: str, data: dict[str, Any]) -> None:
    """Fact handler of `sandbox_image_built`."""
    build = ImageBuild.objects.filter(
        uid=_text(data.get("job"), 16),
        node_name=node_name,
        live=True,
        generation__gte=_count(data.get("generation")),
    ).first()
    if build is None:
        return
    outcome = data.get("outcome")
    state = BuildState(outcome) if outcome in ("done", "failed", "cancelled") else BuildState.FAILED
    build.log, build.digest = _text(data.get("log"), 20_000), _text(data.get("digest"), 80)
    build.save(update_fields=["log", "digest"])
    build_end(build, state, _text(data.get("reason"), 1000))


def build_end(build: ImageBuild, state: BuildState, reason: str = "") -> None:
    """End a live build; one that has ended stays as it is."""
    ImageBuild.objects.filter(pk=build.pk, live=True).update(
        state=state, live=False, reason=reason, message="", ended_at=timezone.now()
    )
    transaction.on_commit(lambda: _publish(build.node_name))


def _running(node_name: str) -> ImageBuild | None:
    return ImageBuild.objects.filter(node_name=node_name, live=True).first()


def _publish(node_name: str) -> None:
    live.publish(f"sandbox_image:{node_name}", {"type": "sandbox_image", "node": node_name})


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 32_000 else 0


def _text(value: Any, limit: int) -> str:
    return str(value or "").replace("\0", "\N{REPLACEMENT CHARACTER}")[:limit]
