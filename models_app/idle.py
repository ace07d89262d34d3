"""Unload what nobody has asked anything for a while."""

from __future__ import annotations

from django.db import transaction

from models_app.members import newest_members
from models_app.models import Desired, Launch, LaunchState
from models_app.observing import OBSERVED, Observations
from models_app.services import launch_stop
from models_app.transitions import event_add
from models_app.usage import IdleWatch, Use, use_of
from sparkweb.accounts.actor import Actor

ACTOR = Actor(None, "idle unload", "system")
WATCH = IdleWatch()


def launch_use(launch: Launch, observed: Observations = OBSERVED) -> Use:
    """Return how much a launch has to do, from the newest report of each of its nodes."""
    members = [member for member in newest_members(launch) if member.live]
    return use_of(
        observed.member(member.spec.get("node") or launch.node_name, member.uid) for member in members
    )


def idle_unload(now: float, watch: IdleWatch = WATCH, observed: Observations = OBSERVED) -> list[Launch]:
    """Stop ready launches that had nothing to do for the minutes of their definition.

    `now` is in monotonic seconds. Pinned definitions stay, and so does what
    gives no figures or was started by somebody else.
    """
    ready = Launch.objects.filter(
        live=True,
        state=LaunchState.READY,
        desired=Desired.RUNNING,
        definition__idle_minutes__isnull=False,
        definition__pinned=False,
        adopted_foreign=False,
    )
    launches = list(ready.select_related("definition").prefetch_related("attempts__members"))
    keys = {launch.pk: f"{launch.uid}:{launch.generation}" for launch in launches}
    watch.keep(set(keys.values()))
    unloaded = []
    for launch in launches:
        idle = watch.idle_seconds(keys[launch.pk], launch_use(launch, observed), now)
        minutes = launch.definition.idle_minutes if launch.definition else None
        if idle is not None and minutes and idle >= 60 * minutes:
            _unload(launch, minutes)
            unloaded.append(launch)
    return unloaded


@transaction.atomic
def _unload(launch: Launch, minutes: int) -> None:
    sentence = f"No request for {minutes} min: unloaded, as its definition says"
    event_add(launch, "idle_unload", sentence, actor_label=ACTOR.label)
    launch_stop(launch=launch, actor=ACTOR)
