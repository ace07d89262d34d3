"""Carry out a turn: drain and stop what is to go, then start what is to come, one at a time.

Everything that is remembered stands in the turn's row, so that a restart of
control goes on where it was. A step is taken once: what people change
afterwards holds until the next turn.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from metrics_app.models import Node
from models_app.exceptions import LaunchRefused
from models_app.idle import launch_use
from models_app.members import launches_of_node
from models_app.models import SERVING_STATES, Desired, Launch, LaunchState, ModelDefinition
from models_app.models_schedules import Turn
from models_app.observing import OBSERVED, Observations
from models_app.services import launch_create, launch_live, launch_stop
from models_app.transitions import event_add
from sparkweb.accounts.actor import Actor

FINAL = ("done", "failed")
MEMORY_PATIENCE = timedelta(minutes=2)
"""A model that stopped gives its memory back a moment later; a start waits so long for it."""
Step = dict[str, Any]


def stop_step(launch: Launch) -> Step:
    return {"do": "stop", "definition": launch.definition_slug, "launch": launch.uid} | WAITING


def start_step(definition: ModelDefinition, schedule: int | None) -> Step:
    return {"do": "start", "definition": definition.slug, "launch": "", "schedule": schedule} | WAITING


WAITING = {"state": "waiting", "message": "", "since": None}


def turn_advance(turn: Turn, now: datetime, observed: Observations = OBSERVED) -> None:
    """Take what steps of an open turn can be taken now; end the turn with its last one."""
    actor = Actor(None, turn.title[:150], "system")
    before = [dict(step) for step in turn.steps]
    set_back = now < turn.began_at
    if set_back:
        turn.began_at = now  # nothing waits for the clock to catch up
    with transaction.atomic():
        for step in turn.steps:
            if step["do"] == "stop" and step["state"] not in FINAL:
                _stop(turn, step, actor, now, observed)
        if all(step["state"] in FINAL for step in turn.steps if step["do"] == "stop"):
            _start_next(turn, actor, now)
        if all(step["state"] in FINAL for step in turn.steps):
            turn.ended_at = now
        if turn.ended_at or set_back or before != turn.steps:
            turn.save(update_fields=["steps", "began_at", "ended_at"])


# Stops --------------------------------------------------------------------------


def _stop(turn: Turn, step: Step, actor: Actor, now: datetime, observed: Observations) -> None:
    launch = Launch.objects.filter(uid=step["launch"]).prefetch_related("attempts__members").first()
    if launch is None or not launch.live:
        _note(step, "done", step["message"] or "Had ended already")
    elif step["state"] == "waiting":
        reason = _drained(launch, turn, now, observed)
        if reason:
            event_add(launch, "drained", reason, actor_label=actor.label)
            launch_stop(launch=launch, actor=actor)
            _note(step, "asked", reason)
    elif launch.desired != Desired.STOPPED:
        _note(step, "done", "Started again by hand")


def _drained(launch: Launch, turn: Turn, now: datetime, observed: Observations) -> str:
    """Say why a launch may be stopped now; nothing while its requests are waited for."""
    if not launch.is_serving:
        return "It was not serving"
    use = launch_use(launch, observed)
    if use.requests == 0:
        return "No request was running"
    if now - turn.began_at < timedelta(minutes=turn.drain_minutes):
        return ""
    waited = f"after {turn.drain_minutes} min"
    if use.requests is None:
        return f"Stopped {waited}: how many requests ran is not known"
    return f"Stopped {waited}; requests still at work: {use.requests:g}"


# Starts -------------------------------------------------------------------------


def _start_next(turn: Turn, actor: Actor, now: datetime) -> None:
    """Go on with the first start that is not done; the next one waits for it."""
    for step in turn.steps:
        if step["do"] == "start" and step["state"] not in FINAL:
            if step["state"] == "asked":
                _watch(step)
            else:
                _start(turn, step, actor, now)
            if step["state"] not in FINAL:
                return


def _watch(step: Step) -> None:
    launch = Launch.objects.filter(uid=step["launch"]).first()
    if launch is None:
        _note(step, "failed", "Its launch was deleted")
    elif launch.is_serving:
        _note(step, "done", "Ready")
    elif launch.desired == Desired.STOPPED:
        _note(step, "done", "Stopped by hand")
    elif not launch.live:
        _note(step, "failed", launch.failure_reason or "It failed")


def _start(turn: Turn, step: Step, actor: Actor, now: datetime) -> None:
    definition = ModelDefinition.objects.filter(slug=step["definition"]).first()
    if definition is None:
        _note(step, "failed", "The definition was deleted")
        return
    live = launch_live(definition, turn.node)
    if live:
        if live.desired == Desired.RUNNING:
            _note(step, "done", "It runs already")
        return
    if _busy(turn.node):
        step["message"] = "Waits for another start on the node"
        return
    step["since"] = step["since"] or now.isoformat()
    try:
        launch, _ = launch_create(definition=definition, node=turn.node, actor=actor)
    except LaunchRefused as refused:
        _refused(step, refused, now)
    else:
        if step["schedule"]:
            Launch.objects.filter(pk=launch.pk).update(schedule=step["schedule"])
        step["launch"] = launch.uid
        _note(step, "asked", "Starting")


def _refused(step: Step, refused: LaunchRefused, now: datetime) -> None:
    """Wait for a node that is away, and a while for memory; give up on what time does not mend."""
    patient = timedelta() <= now - datetime.fromisoformat(step["since"]) < MEMORY_PATIENCE
    if refused.code == "node_offline" or (refused.code == "memory_short" and patient):
        step["message"] = f"Waits: {refused.message}"[:300]
    else:
        _note(step, "failed", refused.message)


def _busy(node: Node) -> bool:
    """Whether something is on its way up on the node: the memory that it will take is not taken yet."""
    live = launches_of_node(node).filter(
        live=True, desired=Desired.RUNNING, retry_at=None, adopted_foreign=False
    )
    return live.exclude(state__in=(*SERVING_STATES, LaunchState.LOST)).exists()


def _note(step: Step, state: str, message: str) -> None:
    step["state"], step["message"] = state, message[:300]
