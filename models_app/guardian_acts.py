"""What memory guardians did and how long they keep what: from nodes into the database, and back to nodes."""

from __future__ import annotations

import math
import time
from typing import Any

from metrics_app.models import Node
from models_app.models import (
    ENDED_STATES,
    GuardianAct,
    GuardianAction,
    Launch,
    LaunchAttempt,
    LaunchMember,
    LaunchState,
)
from models_app.observing import MEMORY_GUARDIAN, member_ended
from models_app.transitions import event_add, launch_move
from sparkweb.node_link import commands

READINGS_MOST = 120
RANKS_EVERY_SECONDS = 5.0


def guardian_acted(node_name: str, data: dict[str, Any]) -> None:
    """Fact handler: store the evidence once, and fail the launch whose container was ended."""
    said = data.get("act")
    if not isinstance(said, dict):
        return
    member = (
        LaunchMember.objects.select_related("attempt__launch__definition")
        .filter(uid=_words(data.get("member"), 16), node__name=node_name)
        .first()
    )
    launch = member.attempt.launch if member else None
    act, made = _act_store(node_name, said, launch)
    if not made or member is None or launch is None:
        return
    evidence: dict[str, object] = {"act": act.uid}
    if act.action != GuardianAction.KILL:
        event_add(launch, "guardian", act.sentence, data=evidence)
        return
    event_add(launch, "guardian", "The memory guardian ended its processes", data=evidence)
    if member.live:
        member_ended(member, MEMORY_GUARDIAN, act.sentence)
    else:
        _cause_correct(launch, act.sentence)


def _act_store(node_name: str, said: dict[str, Any], launch: Launch | None) -> tuple[GuardianAct, bool]:
    floors, victim = _object(said.get("floors")), _object(said.get("victim"))
    action = said.get("action")
    return GuardianAct.objects.get_or_create(
        uid=_words(said.get("act"), 16),
        defaults={
            "node": Node.objects.filter(name=node_name).first(),
            "node_name": node_name,
            "launch": launch,
            "definition_slug": launch.definition_slug if launch else _words(victim.get("name"), 80),
            "action": action if action in GuardianAction.values else GuardianAction.NOTHING_LEFT,
            "victim_kind": _words(victim.get("kind"), 16),
            "cause": _words(said.get("cause"), 24),
            "sentence": _words(said.get("sentence"), 1000),
            "available_bytes": _count(said.get("available_bytes")),
            "total_bytes": _count(said.get("total_bytes")) or None,
            "floor_bytes": _count(floors.get("floor_bytes")),
            "lower_floor_bytes": _count(floors.get("lower_floor_bytes")),
            "readings": _readings(said.get("readings")),
            "processes_left": min(_count(said.get("left")), 100_000),
        },
    )


def _cause_correct(launch: Launch, sentence: str) -> None:
    """Its end was told before who ended it: the launch has failed already, or waits for its next attempt."""
    if launch.state in ENDED_STATES or launch.state == LaunchState.STOPPING:
        if launch.state != LaunchState.STOPPED and launch.failure_reason:
            Launch.objects.filter(pk=launch.pk).update(failure_code=MEMORY_GUARDIAN, failure_reason=sentence)
            newest = LaunchAttempt.objects.filter(launch=launch).order_by("-number").values("pk")[:1]
            LaunchAttempt.objects.filter(pk__in=newest).update(failure_reason=sentence)
    elif launch.retry_at is not None:
        launch_move(
            launch,
            LaunchState.FAILED,
            message=sentence,
            failure_code=MEMORY_GUARDIAN,
            failure_reason=sentence,
        )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _words(value: Any, most: int) -> str:
    return str(value or "").replace("\0", "")[:most]


def _count(value: Any) -> int:
    """A number of bytes that a column can hold; 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62 else 0


def _readings(value: Any) -> list[list[float | None]]:
    rows = value if isinstance(value, list) else []
    return [[_figure(cell) for cell in row[:3]] for row in rows[-READINGS_MOST:] if isinstance(row, list)]


def _figure(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if number and math.isfinite(value) and abs(value) < 2**62 else None


_ranks_asked_at: dict[str, float] = {}


def guardian_reported(node_name: str, section: Any, _report: dict[str, Any]) -> None:
    """Report handler: tell a node the priority and pin of what runs there where its guardian has others."""
    victims = section.get("victims") if isinstance(section, dict) else None
    if not victims or time.monotonic() - _ranks_asked_at.get(node_name, -math.inf) < RANKS_EVERY_SECONDS:
        return
    _ranks_asked_at[node_name] = time.monotonic()
    told = {
        one["key"]: (one.get("priority"), one.get("pinned"))
        for one in victims
        if isinstance(one, dict) and isinstance(one.get("key"), str)
    }
    members = LaunchMember.objects.filter(uid__in=list(told), node__name=node_name, live=True)
    for uid, priority, pinned in members.values_list(
        "uid", "attempt__launch__definition__priority", "attempt__launch__definition__pinned"
    ):
        if priority is not None and told[uid] != (priority, pinned):
            commands.send(node_name, "models.rank", member=uid, priority=priority, pinned=pinned)
