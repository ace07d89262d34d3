"""The stages of starts in the database: kept while control watches them, read for pages and estimates."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from models_app.members import newest_members
from models_app.models import Launch, LaunchAttempt, LaunchMember, LaunchState, StageTiming
from models_app.stage_clock import StageClock, sighting_of, stood_sentence
from models_app.time_to_go import StageTime, TimeToGo, stage_times, time_to_go
from models_app.transitions import launch_publish

STARTING_STATES = (LaunchState.REQUESTED, LaunchState.PULLING, LaunchState.STARTING, LaunchState.LOADING)
KEEP_EVERY_SECONDS = 10.0
STARTS_LEARNED_FROM = 20


@dataclass(frozen=True)
class Stood:
    """A stage that has made no progress for its limit: the failure's code and sentence."""

    code: str
    reason: str


@dataclass
class _Watched:
    clock: StageClock
    kept_at: float = 0.0


@dataclass
class StageClocks:
    """Watches the newest attempt of each launch on its way up. Used by reconcile's thread alone."""

    clock: Callable[[], float] = time.monotonic
    watched: dict[int, _Watched] = field(default_factory=dict)

    def look(self, launch: Launch, entries: list[dict[str, Any]]) -> Stood | None:
        """Take over what the launch's members report; what to fail it with, if it stood still too long."""
        attempt = next(iter(launch.attempts.all()), None)
        if attempt is None:
            return None
        if launch.state not in STARTING_STATES:
            self._leave(attempt)
            return None
        sighting = sighting_of(entries)
        if sighting is None:
            return None
        now = self.clock()
        watched = self.watched.get(attempt.pk) or self.watched.setdefault(
            attempt.pk, _Watched(_remembered(attempt, now))
        )
        clock = watched.clock
        if clock.look(sighting, now):
            self._keep(attempt, watched, now)
            launch_publish(launch)
        limit = settings.STAGE_LIMIT_SECONDS[clock.stage]
        stood = clock.stood_seconds(now) >= limit
        if stood or now - watched.kept_at >= KEEP_EVERY_SECONDS:
            self._keep(attempt, watched, now)
        if not stood:
            return None
        return Stood(f"{clock.stage}_timeout", stood_sentence(clock.stage, limit, clock.words))

    def keep_only(self, attempts: set[int]) -> None:
        """Forget the attempts of launches that are over."""
        self.watched = {key: one for key, one in self.watched.items() if key in attempts}

    def _leave(self, attempt: LaunchAttempt) -> None:
        if watched := self.watched.pop(attempt.pk, None):
            self._keep(attempt, watched, self.clock())

    def _keep(self, attempt: LaunchAttempt, watched: _Watched, now: float) -> None:
        """Write what was measured: monotonic seconds, and wall-clock times for people."""
        clock, wall = watched.clock, timezone.now()
        watched.kept_at = now
        for stage in {*clock.seconds, clock.stage}:
            seconds = round(clock.seconds_in(stage, now), 3)
            defaults: dict[str, Any] = {"seconds": seconds, "measured_at": wall}
            if stage == clock.stage:
                defaults["progress_at"] = wall - timedelta(seconds=clock.stood_seconds(now))
            StageTiming.objects.update_or_create(attempt=attempt, name=stage, defaults=defaults)


def _remembered(attempt: LaunchAttempt, now: float) -> StageClock:
    """The clock of an attempt that an earlier control process watched; a fresh one else.

    The time without a control counts for nobody: what happened then was not seen.
    """
    rows = list(attempt.stages.all())
    if not rows:
        return StageClock()
    current = max(rows, key=lambda row: (row.progress_at, row.pk))
    seconds = {row.name: row.seconds for row in rows}
    return StageClock(current.name, now, now, now, (), "", seconds)


# Reading -------------------------------------------------------------------------


def seconds_of(attempt: LaunchAttempt) -> dict[str, float]:
    """How long an attempt was in each stage, as far as it was written down; uses prefetched rows."""
    return {row.name: row.seconds for row in attempt.stages.all()}


def earlier_starts(launch: Launch, member: LaunchMember) -> list[dict[str, float]]:
    """The seconds by stage of earlier attempts that became ready, newest first.

    Of the same definition and node, and of the same image: by digest once it is
    known, for a tag may have moved.
    """
    same: dict[str, Any] = {"members__image": member.image, "members__rank": 0}
    if member.image_digest:
        same["members__image_digest"] = member.image_digest
    attempts = (
        LaunchAttempt.objects.filter(
            launch__definition=launch.definition_id,
            launch__node=launch.node_id,
            ready_at__isnull=False,
            **same,
        )
        .exclude(pk=member.attempt_id)
        .order_by("-pk")
        .prefetch_related("stages")[:STARTS_LEARNED_FROM]
    )
    return [seconds for attempt in attempts if (seconds := seconds_of(attempt))]


@dataclass(frozen=True)
class StartTimes:
    """A start beside earlier ones: what is left (None: nobody knows), and each stage."""

    to_go: TimeToGo | None
    stages: list[StageTime]


def start_times(launch: Launch, stage: str = "") -> StartTimes:
    """Compare a launch's newest attempt with earlier ones; `stage` is the one it is in, if it is starting."""
    members = newest_members(launch)
    if not members or launch.definition_id is None or launch.node_id is None:
        return StartTimes(None, [])
    attempt = next(iter(launch.attempts.all()))
    seconds = seconds_of(attempt)
    row = next((one for one in attempt.stages.all() if one.name == stage), None)
    if launch.state in STARTING_STATES and row is not None:
        # Measured each ten seconds: what went by since then is added.
        since = (timezone.now() - row.measured_at).total_seconds()
        seconds[stage] = row.seconds + min(max(0.0, since), KEEP_EVERY_SECONDS + 2)
    earlier = earlier_starts(launch, members[0])
    to_go = time_to_go(earlier, stage, seconds) if launch.state in STARTING_STATES else None
    return StartTimes(to_go, stage_times(earlier, seconds))
