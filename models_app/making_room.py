"""Stop running models and start another once their memory is back.

The launch is there at once, `requested` and without an attempt, and says what it
waits for (`Launch.waits_for`). Reconcile looks at it each second, so that it goes
on after a restart of control.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import IntegrityError, transaction
from django.utils import timezone

from metrics_app.models import Node, NodeStatus
from models_app import services
from models_app.attempts import attempt_begin, port_refusal
from models_app.conditions import memory_free
from models_app.exceptions import LaunchRefused
from models_app.members import launches_of_node
from models_app.memory import memory_fit
from models_app.models import Desired, Launch, LaunchMember, LaunchState, ModelDefinition
from models_app.placement import nodes_chosen
from models_app.planning import with_overlay
from models_app.preflights import preflight_require
from models_app.start_checks import start_check
from models_app.transitions import event_add, launch_move
from sparkweb.accounts.actor import Actor

# After everything has stopped: the kernel may take a while to give the memory of a dead engine back.
MEMORY_BACK_SECONDS = 180
STOP_MOST = 20


def launch_after_stopping(
    *,
    definition: ModelDefinition,
    node: Node,
    actor: Actor,
    stop: Sequence[str],
    force_reason: str = "",
    followers: Sequence[Node] = (),
) -> tuple[Launch, bool]:
    """Stop live launches (by uid), and start a definition when there is room for it on its nodes.

    Returns as launch_create does. Raises LaunchRefused as it does, but for memory_short,
    and not_live where one of them runs elsewhere or has ended. With nothing to stop it
    is launch_create.
    """
    if not stop:
        return services.launch_create(
            definition=definition, node=node, actor=actor, force_reason=force_reason, followers=followers
        )
    if live := services.launch_live(definition, node):
        return live, False
    nodes = nodes_chosen(definition, node, followers)
    start_check(definition, nodes)
    if len(nodes) > 1 and not force_reason:
        preflight_require(definition=definition, nodes=nodes, actor=actor)
    doomed = _doomed(definition, nodes, stop)
    try:
        return _waiting_write(definition, nodes, actor, force_reason, doomed), True
    except IntegrityError:
        if live := services.launch_live(definition, node):
            return live, False
        raise


@transaction.atomic
def _waiting_write(
    definition: ModelDefinition, nodes: list[Node], actor: Actor, force_reason: str, doomed: list[Launch]
) -> Launch:
    names = " and ".join(row.definition_slug for row in doomed)
    found = memory_fit(definition, nodes[0])
    launch = services.launch_row_make(
        definition, nodes[0], actor, found, force_reason, waits_for=f"{names} to stop"
    )
    launch.memory_sum = {**(launch.memory_sum or {}), "nodes": [node.name for node in nodes]}
    launch.save(update_fields=["memory_sum"])
    event_add(launch, "waits", f"Waits for {names} to stop and for their memory")
    for row in doomed:
        event_add(row, "requested", f"Stopped to make room for {definition.slug}", actor_label=actor.label)
        services.launch_stop(launch=row, actor=actor)
    return launch


def _doomed(definition: ModelDefinition, nodes: Sequence[Node], stop: Sequence[str]) -> list[Launch]:
    asked = list(dict.fromkeys(stop))[:STOP_MOST]
    rows = {row.uid: row for node in nodes for row in launches_of_node(node).filter(uid__in=asked, live=True)}
    if gone := [uid for uid in asked if uid not in rows]:
        names = " or ".join(node.name for node in nodes)
        raise LaunchRefused(
            f"{gone[0]} does not run on {names} any more; look at the memory of {definition.name} again",
            "not_live",
        )
    return [rows[uid] for uid in asked]


def room_awaited(launch: Launch, members: Sequence[LaunchMember]) -> bool:
    """Reconcile's question: does this launch wait for memory? If there is room by now, begin it."""
    if not launch.waits_for:
        return False
    if members or launch.retry_at is not None:
        _waiting_end(launch)
        return False
    definition, nodes = launch.definition, _nodes(launch)
    if launch.desired == Desired.STOPPED:
        launch_move(launch, LaunchState.STOPPED, message="Stopped")
    elif definition is None or not nodes:
        reason = "Its definition or its node was deleted while it waited"
        launch_move(
            launch, LaunchState.FAILED, message=reason, failure_code="definition_gone", failure_reason=reason
        )
    elif all(node.status == NodeStatus.ONLINE for node in nodes):
        _look(launch, definition, nodes)
    return True


def _nodes(launch: Launch) -> list[Node]:
    """The nodes that it waits for, by rank; none if one of them is gone."""
    names = (launch.memory_sum or {}).get("nodes") or [launch.node_name]
    rows = {node.name: node for node in Node.objects.filter(name__in=names)}
    return [rows[name] for name in names] if len(rows) == len(names) else []


def _look(launch: Launch, definition: ModelDefinition, nodes: list[Node]) -> None:
    stopping = [
        row.definition_slug
        for node in nodes
        for row in launches_of_node(node).filter(live=True, desired=Desired.STOPPED)
    ]
    if stopping:
        _waiting_say(launch, f"{' and '.join(sorted(set(stopping)))} to stop")
        return
    planned = with_overlay(definition, launch.settings_overlay)
    found = [memory_fit(planned, node, waiting=launch) for node in nodes]
    short = [one for one in found if not one.can_start or one.available_bytes is None]
    if launch.forced_reason or not short:
        _begin(launch, definition, nodes)
    elif (timezone.now() - launch.state_changed_at).total_seconds() > MEMORY_BACK_SECONDS:
        reason = (
            f"The memory did not come back within {MEMORY_BACK_SECONDS // 60} minutes: {short[0].sentence}"
        )
        launch_move(
            launch, LaunchState.FAILED, message=reason, failure_code="memory_short", failure_reason=reason
        )
    else:
        _waiting_say(launch, f"memory: {short[0].sentence}")


def _begin(launch: Launch, definition: ModelDefinition, nodes: list[Node]) -> None:
    """Open its first attempt. Raises LaunchRefused where something else is in the way by now."""
    start_check(definition, nodes)
    free = memory_free(nodes)
    try:
        with transaction.atomic():
            if not _waiting_end(launch):
                return
            event_add(launch, "room", "There is room now")
            attempt_begin(launch, free, nodes)
    except IntegrityError:
        raise port_refusal(definition, nodes) from None


def _waiting_end(launch: Launch) -> bool:
    launch.waits_for = ""
    return bool(
        Launch.objects.filter(pk=launch.pk, generation=launch.generation, live=True).update(waits_for="")
    )


def _waiting_say(launch: Launch, words: str) -> None:
    """Tell what it waits for; since when it waits for memory is when that began."""
    words = words[:300]
    if words.split(":")[0] == launch.waits_for.split(":")[0]:
        return
    launch.waits_for, launch.state_changed_at = words, timezone.now()
    launch.save(update_fields=["waits_for", "state_changed_at"])
    event_add(launch, "waits", f"Waits for {words}")
