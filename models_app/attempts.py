"""Attempts of a launch: begun, begun again, and what nodes are told of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from django.db import IntegrityError, transaction
from django.utils import timezone

from metrics_app.models import Node
from models_app.conditions import Free, conditions_note, memory_free
from models_app.definition_changes import ran_with
from models_app.engines.specs import spec_read
from models_app.exceptions import LaunchRefused
from models_app.foreign import restart_refuse
from models_app.members import launch_nodes
from models_app.models import Desired, Launch, LaunchAttempt, LaunchMember, LaunchState, ModelDefinition
from models_app.node.identity import ADOPTED
from models_app.planning import members_plan, with_overlay
from models_app.transitions import attempt_close, event_add
from sparkweb.node_link import commands

STOP_TIMEOUT_SECONDS = 30


@transaction.atomic
def attempt_begin(launch: Launch, free: Free, nodes: Sequence[Node] = ()) -> list[LaunchMember]:
    """Open the next attempt of a launch on `nodes`, else on those of the attempt before.

    `free` is what its nodes have left. The nodes are nudged on commit. Raises LaunchRefused as members_plan.
    """
    number = launch.attempts.count() + 1
    members = members_plan(launch, nodes or launch_nodes(launch), number)
    conditions_note(launch, members, free)
    attempt = LaunchAttempt.objects.create(
        launch=launch,
        number=number,
        generation=launch.generation,
        ran_with=ran_with(with_overlay(launch.definition, launch.settings_overlay))
        if launch.definition
        else {},
    )
    for member in members:
        member.attempt = attempt
        member.save()
        transaction.on_commit(partial(start_nudge, member))
    return members


def attempt_again(launch: Launch, message: str) -> bool:
    """Begin a new attempt of a launch that is due for one; False if it was no longer.

    Raises LaunchRefused as members_plan, and port_in_use and adopted_foreign.
    """
    restart_refuse(launch)
    try:
        return _attempt_again(launch, message, memory_free(launch_nodes(launch)))
    except IntegrityError:
        launch.refresh_from_db()
        if launch.definition is None:
            raise
        raise port_refusal(launch.definition, launch_nodes(launch)) from None


@transaction.atomic
def _attempt_again(launch: Launch, message: str, free: Free) -> bool:
    attempt_close(launch, "failed")
    due = Launch.objects.filter(
        pk=launch.pk, generation=launch.generation, desired=Desired.RUNNING, live=True
    )
    changes = {
        "generation": launch.generation + 1,
        "state": LaunchState.REQUESTED,
        "state_changed_at": timezone.now(),
        "retry_at": None,
        "restart_wanted": False,
        "failure_code": "",
        "failure_reason": "",
    }
    if not due.update(**changes):
        return False
    source = launch.state
    launch.refresh_from_db()
    event_add(launch, "attempt", message, source, launch.state)
    attempt_begin(launch, free)
    return True


def start_nudge(member: LaunchMember) -> bool:
    """Tell a member's node to start it; False when Redis is gone (reconcile tells it again)."""
    if member.spec.get("kind") == ADOPTED:
        return commands.send(member.spec["node"], "models.container_adopt", order=member.spec)
    spec = spec_read(member.spec)
    return commands.send(spec.node, "models.container_start", spec=spec.to_json())


def stop_nudge(launch: Launch, member: LaunchMember) -> bool:
    """Tell a member's node to stop it; False when Redis is gone (reconcile tells it again)."""
    return commands.send(
        member.spec.get("node") or launch.node_name,
        "models.container_stop",
        launch=launch.uid,
        member=member.uid,
        generation=launch.generation,
        timeout_seconds=STOP_TIMEOUT_SECONDS,
        **({"kind": "script"} if launch.engine == "script" else {}),
    )


def members_stop(launch: Launch, members: Sequence[LaunchMember]) -> None:
    """Nudge the nodes of members to stop them, once the transaction is committed."""
    for member in members:
        transaction.on_commit(partial(stop_nudge, launch, member))


def port_refusal(definition: ModelDefinition, nodes: Sequence[Node]) -> LaunchRefused:
    holder = (
        LaunchMember.objects.filter(node__in=nodes, port=definition.port, live=True)
        .select_related("attempt__launch", "node")
        .first()
    )
    by = holder.attempt.launch.definition_slug if holder else "another launch"
    where = holder.node.name if holder and holder.node else nodes[0].name
    return LaunchRefused(
        f"port {definition.port} on {where} is used by {by}; stop it, or change one of the ports",
        "port_in_use",
    )
