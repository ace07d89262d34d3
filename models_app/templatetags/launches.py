"""Pieces of pages that show models and launches, for templates of other apps too."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.context import Context

from metrics_app.models import Node
from models_app.failure_cards import failure_of
from models_app.failures.cards import FailureCard
from models_app.models import Launch, LaunchState, Stage
from models_app.selectors import Progress, definition_cards, launches_filtered, newest_member
from models_app.start_stages import STARTING_STATES

register = template.Library()

STEPS = [*Stage.choices, ("ready", "Ready")]
ORDER = [step for step, _ in STEPS]
STAGE_OF_STATE = {
    LaunchState.PULLING: Stage.PULL,
    LaunchState.STARTING: Stage.CREATE,
    LaunchState.LOADING: Stage.LOAD,
}


@register.inclusion_tag("models_app/_model_cards.html", takes_context=True)
def model_cards(context: Context, node: Node) -> dict[str, Any]:
    """Show every definition with its launch on `node`: what runs or failed lately first."""
    cards = definition_cards(node)
    front = [card for card in cards if card.is_live or card.needs_attention]
    return {
        "live_cards": front,
        "idle_cards": [card for card in cards if card not in front],
        "node": node,
        **{name: context.get(name) for name in ("can_operate", "can_admin", "csrf_token")},
    }


@register.inclusion_tag("models_app/_recent_launches.html")
def recent_launches(node: Node | None = None, definition: str = "", count: int = 8) -> dict[str, Any]:
    """Show the newest launches of a node or a definition."""
    rows = launches_filtered(node=node.name if node else "", definition=definition)
    return {"launches": rows[:count], "node": node, "definition": definition}


@register.simple_tag
def launch_steps(launch: Launch, progress: Progress | None = None) -> list[dict[str, str]]:
    """Return the steps of a start with how each stands: done, now, failed or nothing.

    A step that was never entered (the image was there) counts as done once a later one is reached.
    """
    reached = _reached(launch, progress.stage if progress else "")
    steps = []
    for place, (_, label) in enumerate(STEPS):
        if launch.is_serving or place < reached:
            css = "done"
        elif place > reached:
            css = ""
        else:
            css = _css_of_reached(launch)
        steps.append({"label": label, "css": css})
    return steps


def _reached(launch: Launch, stage: str) -> int:
    """Return the place of the furthest step of the newest attempt; -1 while it is only asked for."""
    if launch.state in STARTING_STATES:
        name = stage if stage in ORDER else STAGE_OF_STATE.get(LaunchState(launch.state), "")
        return ORDER.index(name) if name else -1
    attempt = next(iter(launch.attempts.all()), None)
    places = [ORDER.index(row.name) for row in attempt.stages.all()] if attempt else []
    for event in launch.events.all():  # newest first
        places += [
            ORDER.index(STAGE_OF_STATE[LaunchState(word)])
            for word in (event.from_state, event.to_state)
            if word in STAGE_OF_STATE
        ]
        if event.kind == "attempt":
            break
    return max(places, default=-1)


def _css_of_reached(launch: Launch) -> str:
    if launch.state in (LaunchState.FAILED, LaunchState.PARKED):
        return "failed"
    if launch.state in STARTING_STATES:
        return "now"
    return "done" if launch.ready_at else ""


@register.filter
def stage_label(stage: str) -> str:
    """Write a stage of a start as pages show it."""
    return str(Stage(stage).label)


@register.simple_tag
def failure_short(launch: Launch) -> FailureCard | None:
    """Return the failure card of a launch, or None while it has not failed."""
    return failure_of(launch)


@register.filter
def newest_member_of(launch: Launch) -> Any:
    """Return the member of a launch's newest attempt, or None."""
    return newest_member(launch)
