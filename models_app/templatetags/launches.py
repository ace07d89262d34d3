"""Pieces of pages that show models and launches, for templates of other apps too."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.context import Context

from metrics_app.models import Node
from models_app.models import Launch, LaunchState
from models_app.selectors import definition_cards, launches_filtered, newest_member

register = template.Library()

STEPS = (
    (LaunchState.REQUESTED, "Requested"),
    (LaunchState.PULLING, "Image"),
    (LaunchState.STARTING, "Container"),
    (LaunchState.LOADING, "Loading"),
    (LaunchState.READY, "Ready"),
)
ORDER = [step for step, _ in STEPS]


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
def launch_steps(launch: Launch) -> list[dict[str, str]]:
    """Return the steps of a start with how each stands: done, now, failed or nothing.

    A step that was never entered (the image was there) counts as done once a later one is reached.
    """
    reached = _reached(launch)
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


def _reached(launch: Launch) -> int:
    """Return the place of the furthest step of the newest attempt."""
    if launch.state in ORDER:
        return ORDER.index(LaunchState(launch.state))
    places = []
    for event in launch.events.all():  # newest first
        places += [
            ORDER.index(LaunchState(word)) for word in (event.from_state, event.to_state) if word in ORDER
        ]
        if event.kind == "attempt":
            break
    return max(places, default=0)


def _css_of_reached(launch: Launch) -> str:
    if launch.state in (LaunchState.FAILED, LaunchState.PARKED):
        return "failed"
    return (
        "now"
        if launch.live and not launch.is_serving and launch.state in ORDER
        else "done"
        if launch.ready_at
        else ""
    )


@register.filter
def newest_member_of(launch: Launch) -> Any:
    """Return the member of a launch's newest attempt, or None."""
    return newest_member(launch)
