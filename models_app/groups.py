"""A launch on several nodes is one launch: what to do for all of it, from what each member needs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models_app.models import LaunchState
from models_app.transitions import FORWARD

S = LaunchState
# How long a launch waits for a silent node before its other members are taken down
# and it starts again: an agent that is upgraded or a cable that is pulled for a moment
# must not end a model that still runs.
SILENT_SECONDS = 60.0


@dataclass(frozen=True)
class Step:
    """What to do for one launch: move to `state`, nudge to `start` or `stop`, begin `again`, or `fail`."""

    state: str = ""
    nudge: str = ""
    message: str = ""


@dataclass(frozen=True)
class GroupStep:
    """What to do for a launch: move to `state`, each member's nudge, and what concerns it as a whole.

    `whole` is "teardown": take down what is left and start again.
    """

    state: str = ""
    message: str = ""
    nudges: tuple[str, ...] = ()
    whole: str = ""


def group_step(
    steps: Sequence[Step],
    *,
    state: str,
    labels: Sequence[str] = (),
    silent: Sequence[bool] = (),
    some_ended: bool = False,
    seconds_in_state: float = 0.0,
) -> GroupStep:
    """Decide for a live launch from the steps of its live members, by rank.

    `silent` says whose node is not heard from, `labels` how events name each
    member, `some_ended` whether another member of the same attempt has ended.
    A launch with one member does what that member needs.
    """
    if len(steps) == 1 and not some_ended:
        (step,) = steps
        return GroupStep(step.state, step.message, (step.nudge,))
    nudges = tuple(step.nudge for step in steps)
    if "stop" in nudges:
        return GroupStep(nudges=nudges)
    if some_ended:
        return GroupStep(whole="teardown", message="One of its containers has ended")
    if any(silent):
        return _silent_step(state, labels, silent, seconds_in_state)
    reached, message = _reached(steps, labels)
    return GroupStep(reached, message, nudges)


def _silent_step(
    state: str, labels: Sequence[str], silent: Sequence[bool], seconds_in_state: float
) -> GroupStep:
    who = ", ".join(label for label, is_silent in zip(labels, silent, strict=True) if is_silent)
    if state == S.LOST and not all(silent) and seconds_in_state > SILENT_SECONDS:
        return GroupStep(whole="teardown", message=f"Nothing was heard of {who} for a minute")
    if state in (S.REQUESTED, S.LOST):
        return GroupStep()
    return GroupStep(S.LOST, f"Nothing is heard of {who}")


def _reached(steps: Sequence[Step], labels: Sequence[str]) -> tuple[str, str]:
    """The state that all members have reached, with the words of the one that holds it up."""
    if all(step.state == S.READY for step in steps):
        return S.READY, steps[0].message
    for step in steps:
        if step.state == S.DEGRADED:
            return S.DEGRADED, step.message
    behind = [place for place, step in enumerate(steps) if step.state and step.state != S.READY]
    if not behind:
        return "", ""
    place = min(behind, key=lambda place: FORWARD.index(S(steps[place].state)))
    return steps[place].state, f"{steps[place].message} ({labels[place]})"
