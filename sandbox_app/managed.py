"""Ask nodes to run services or to stop them, and take over what they say of them."""

from __future__ import annotations

import secrets
import time
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from metrics_app.models import Node, NodeStatus
from sandbox_app.exceptions import ToolRefused
from sandbox_app.models_services import ManagedService, ServiceHealth, ServiceName, ServiceState
from sparkweb import live
from sparkweb.accounts.actor import Actor, audit
from sparkweb.node_link import commands
from sparkweb.shared_streams import shared_streams
from sparkweb.streams import Entry, StreamsDown

EVERY_SECONDS = 2.0
NUDGE_EVERY_SECONDS = 5.0
LOG_WAIT_SECONDS = 5.0
_SILENT = (NodeStatus.OFFLINE, NodeStatus.NEVER)
_OBSERVED = ("state", "health", "message", "image", "seen_generation")


def service_start(*, name: ServiceName, node: Node, actor: Actor) -> ManagedService:
    """Have a service run on a node. One that shall run already stays as it is. Raises ToolRefused."""
    return _wish(name, node, actor, "start", run=True)


def service_restart(*, name: ServiceName, node: Node, actor: Actor) -> ManagedService:
    """Have a service made anew, with the settings and the image that are there now. Raises ToolRefused."""
    return _wish(name, node, actor, "restart", run=True)


def service_stop(*, name: ServiceName, node: Node, actor: Actor) -> ManagedService:
    """Have a service stopped and its container removed. Raises ToolRefused."""
    return _wish(name, node, actor, "stop", run=False)


def _wish(name: ServiceName, node: Node, actor: Actor, verb: str, *, run: bool) -> ManagedService:
    if node.status in _SILENT:
        raise ToolRefused(
            f"{node} is offline: nothing is heard from it; start its agent first", "node_offline"
        )
    with transaction.atomic():
        row, made = ManagedService.objects.select_for_update().get_or_create(
            name=name, node=node, defaults={"run": run, "requested_by": actor.user}
        )
        stands = row.state in (ServiceState.FAILED, ServiceState.EXITED)
        if not made and row.run == run and verb != "restart" and not stands:
            return row
        if not made:
            row.run, row.generation, row.requested_by = run, row.generation + 1, actor.user
            row.message, row.changed_at = "", timezone.now()
            row.save()
        audit(actor, f"service_{verb}", f"{name} on {node.name}")
        transaction.on_commit(lambda: service_nudge(row))
    return row


def service_nudge(row: ManagedService) -> bool:
    """Tell the node what is wanted; False when Redis is gone (services_reconcile tells it again)."""
    ManagedService.objects.filter(pk=row.pk).update(sent_at=timezone.now())
    _publish(row.node.name)
    return commands.send(
        row.node.name, "service.apply", service=row.name, generation=row.generation, run=row.run
    )


def services_reconcile() -> None:
    """Tell nodes again what they have not taken, and those whose service is gone that it shall run."""
    waited = timezone.now() - timedelta(seconds=NUDGE_EVERY_SECONDS)
    due = ManagedService.objects.filter(Q(sent_at=None) | Q(sent_at__lt=waited)).select_related("node")
    for row in due.exclude(node__status__in=_SILENT):
        taken = row.seen_generation == row.generation
        lost = taken and row.run and row.state == ServiceState.STOPPED
        if lost or not taken:
            service_nudge(row)


def services_reported(node_name: str, section: Any, _report: dict[str, Any]) -> None:
    """Report handler of `services`: what a node sees, written when it changed."""
    if not isinstance(section, list):
        return
    told = {entry.get("service"): entry for entry in section if isinstance(entry, dict)}
    for row in ManagedService.objects.filter(node__name=node_name).select_related("node"):
        seen = _seen(row, told.get(row.name))
        if any(getattr(row, field) != value for field, value in seen.items()):
            ManagedService.objects.filter(pk=row.pk).update(**seen)
            _publish(node_name)


def _seen(row: ManagedService, entry: dict[str, Any] | None) -> dict[str, Any]:
    """The observed fields; of a service that a node does not name, nothing is left there."""
    if entry is None:
        # An agent that began anew and finds nothing has nothing to stop.
        seen = row.seen_generation if row.run else row.generation
        told = {
            "state": ServiceState.STOPPED,
            "health": ServiceHealth.UNKNOWN,
            "message": "",
            "image": row.image,
        }
        return {**told, "seen_generation": seen}
    state, health = entry.get("state"), entry.get("health")
    generation = entry.get("generation")
    return {
        "state": state if state in ServiceState.values else ServiceState.EXITED,
        "health": health if health in ServiceHealth.values else ServiceHealth.UNKNOWN,
        "message": _text(entry.get("message"), 500),
        "image": _text(entry.get("image"), 300) or row.image,
        "seen_generation": generation if type(generation) is int and 0 <= generation < 2**31 else 0,
    }


def service_log(*, name: ServiceName, node: Node, lines: int = 200) -> list[str]:
    """The last lines of a service, asked of its node. Raises ToolRefused when it does not answer."""
    if node.status in _SILENT:
        raise ToolRefused(f"{node} is offline: its log cannot be asked for", "node_offline")
    stream, request = f"log:{node.name}:service-{name}", secrets.token_hex(8)
    streams = shared_streams()
    try:
        after = streams.last(stream)
        commands.send(node.name, "service.logs", service=name, request=request, lines=lines)
        until = time.monotonic() + LOG_WAIT_SECONDS
        while (left := until - time.monotonic()) > 0:
            for item in streams.read({stream: after}, left):
                after = item.offset if isinstance(item, Entry) else after
                if isinstance(item, Entry) and item.data.get("request") == request:
                    return _lines(item.data)
    except StreamsDown:
        raise ToolRefused("Redis does not answer, and logs come through it.", "redis_down") from None
    raise ToolRefused(f"{node} did not answer within {LOG_WAIT_SECONDS:g} s.", "node_silent")


def _lines(told: dict[str, Any]) -> list[str]:
    if message := _text(told.get("message"), 500):
        raise ToolRefused(message, "log_missing")
    lines = told.get("lines")
    return [_text(line, 10_000) for line in lines] if isinstance(lines, list) else []


def _publish(node_name: str) -> None:
    live.publish(f"tool_service:{node_name}", {"type": "tool_service", "node": node_name})


def _text(value: Any, limit: int) -> str:
    return str(value or "").replace("\0", "\N{REPLACEMENT CHARACTER}")[:limit]
