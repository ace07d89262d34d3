"""Adopt a container that somebody else started, and give it back. Every change is audited."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction

from metrics_app.models import Node
from metrics_app.selectors import node_snapshot
from models_app.adoption_match import cannot_serve, host_ports, not_adoptable
from models_app.attempts import port_refusal, start_nudge
from models_app.exceptions import LaunchRefused
from models_app.foreign import foreign_words
from models_app.models import (
    Desired,
    Launch,
    LaunchAttempt,
    LaunchMember,
    LaunchState,
    ModelDefinition,
)
from models_app.node.identity import ADOPTED
from models_app.planning import EXAMPLE, spec_plan
from models_app.services import launch_live
from models_app.start_checks import start_check
from models_app.transitions import event_add, launch_move
from sparkweb.accounts.actor import Actor, audit
from sparkweb.node_link import commands

ID_DIGITS_LEAST = 12


def container_of(node: Node, container_id: str) -> dict[str, Any]:
    """Return a container of a node, by its first 12 digits or more, as it was reported last.

    Raises LaunchRefused no_container.
    """
    snapshot = node_snapshot(node.name)
    rows = (snapshot["report"].get("containers") if snapshot else None) or []
    rows = rows if len(container_id) >= ID_DIGITS_LEAST else []
    for row in rows:
        if isinstance(row, dict) and str(row.get("id") or "").startswith(container_id):
            return row
    raise LaunchRefused(f"{node} reports no container {container_id[:12]}", "no_container")


def container_adopt(*, node: Node, container_id: str, definition: ModelDefinition, actor: Actor) -> Launch:
    """Make a launch of a container that somebody else started, if it serves a definition.

    The node asks it what it serves and has the last word: where it is something else,
    the launch fails with that sentence. Nothing is written on the container. Raises
    LaunchRefused: no_container, not_adoptable, already_live, port_in_use, and as start_check.
    """
    if live := launch_live(definition, node):
        raise LaunchRefused(f"{definition.name} is {live.state} on {node} already", "already_live")
    if why := cannot_serve(definition):
        raise LaunchRefused(f"No container can be adopted for it: {why}", "not_adoptable")
    start_check(definition, [node])
    container = container_of(node, container_id)
    why = not_adoptable(container)
    if not why and (other := _claimed(node, container["id"])):
        why = f"{container['name']} belongs to {other.attempt.launch} already"
    if why:
        raise LaunchRefused(f"It cannot be adopted: {why}", "not_adoptable")
    try:
        return _adoption_write(node, container, definition, actor)
    except IntegrityError:
        if live := launch_live(definition, node):
            raise LaunchRefused(
                f"{definition.name} is {live.state} on {node} already", "already_live"
            ) from None
        raise port_refusal(definition, [node]) from None


def _claimed(node: Node, container_id: str) -> LaunchMember | None:
    claims = LaunchMember.objects.filter(node=node, container_id=container_id, live=True)
    return claims.select_related("attempt__launch").first()


@transaction.atomic
def _adoption_write(
    node: Node, container: dict[str, Any], definition: ModelDefinition, actor: Actor
) -> Launch:
    launch = Launch.objects.create(
        definition=definition,
        definition_slug=definition.slug,
        engine=definition.engine,
        node=node,
        node_name=node.name,
        requested_by=actor.user,
        adopted_foreign=True,
    )
    ports = host_ports(container)
    member = LaunchMember(
        attempt=LaunchAttempt.objects.create(launch=launch, number=1, generation=launch.generation),
        node=node,
        port=definition.port if definition.port in ports else ports[0],
        container_name=str(container["name"])[:160],
        container_id=str(container["id"])[:64],
        image=str(container["image"])[:300],
    )
    member.spec = _order(launch, member, definition, node)
    member.save()
    told = {"container": member.container_name, "image": member.image, "node": node.name}
    audit(actor, "container_adopt", launch, launch=launch.uid, **told)
    sentence = f"{actor.label} adopts {member.container_name} ({member.image}), which SparkWeb did not start"
    event_add(launch, "adopted", sentence, "", launch.state, actor.label)
    transaction.on_commit(partial(start_nudge, member))
    return launch


def _order(launch: Launch, member: LaunchMember, definition: ModelDefinition, node: Node) -> dict[str, Any]:
    """What the node is told, and the member's spec: AdoptOrder of models_app/node/adopted.py as JSON."""
    planned, _ = spec_plan(definition, node, EXAMPLE)
    probe = replace(planned.probe, port=definition.port, host="127.0.0.1")
    names = dict.fromkeys(name for name in (probe.model, definition.slug, definition.model_id) if name)
    return {
        "kind": ADOPTED,
        "node": node.name,
        "launch": launch.uid,
        "member": member.uid,
        "generation": launch.generation,
        "slug": definition.slug,
        "container_id": member.container_id,
        "names": list(names),
        "probe": asdict(probe),
    }


@transaction.atomic
def launch_release(*, launch: Launch, actor: Actor) -> Launch:
    """Give an adopted container back: the launch ends, the container goes on as it is.

    A launch that ended already stays as it is. Raises LaunchRefused not_adopted for one of ours.
    """
    member = LaunchMember.objects.filter(attempt__launch=launch).first()
    if not launch.adopted_foreign or member is None:
        raise LaunchRefused(
            f"{launch} was started by SparkWeb and cannot be given back; stop it", "not_adopted"
        )
    launch.refresh_from_db()
    asked = Launch.objects.filter(pk=launch.pk, live=True, generation=launch.generation)
    if not asked.update(generation=launch.generation + 1, desired=Desired.STOPPED, retry_at=None):
        return launch
    launch.refresh_from_db()
    told = {"container": member.container_name, "node": launch.node_name}
    audit(actor, "container_release", launch, launch=launch.uid, **told)
    sentence = f"Given back by {actor.label}: {foreign_words(member)} and goes on"
    launch_move(launch, LaunchState.STOPPED, message=sentence, actor_label=actor.label)
    transaction.on_commit(
        partial(
            commands.send,
            launch.node_name,
            "models.container_release",
            launch=launch.uid,
            member=member.uid,
            generation=launch.generation,
        )
    )
    return launch
