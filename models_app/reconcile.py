"""Desired against observed, each second: the same code after a crash, a reboot, a flush or a mishap.

`next_step` is pure and decides for one member, `group_step` for the launch;
`launch_reconcile` loads the live launches, asks them, and carries out what they say.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.utils import timezone

from metrics_app.models import Node, NodeStatus
from models_app import attempts
from models_app.exceptions import LaunchRefused
from models_app.groups import GroupStep, Step, group_step
from models_app.hang_restarts import hang_to_mend
from models_app.making_room import room_awaited
from models_app.members import launch_nodes, member_label, member_node_name, newest_members
from models_app.models import Desired, Launch, LaunchMember, LaunchState
from models_app.observing import (
    BACKOFF_LONGEST_SECONDS,
    OBSERVED,
    Observations,
    group_fail,
    launch_concluded,
)
from models_app.start_stages import StageClocks, Stood
from models_app.transitions import launch_move, launch_publish
from sparkweb.node_link import commands

log = structlog.get_logger(__name__)

NUDGE_EVERY_SECONDS = 5.0
DEGRADED_AFTER_FAILURES = 3
ORPHAN_AFTER_SECONDS = 30.0
# A launch's end may be told before the report that shows its container gone.
ENDED_AFTER_SECONDS = 3.0
S = LaunchState
STATUS_ORDER = (NodeStatus.ONLINE, NodeStatus.STALE, NodeStatus.OFFLINE, NodeStatus.NEVER)
SILENT = (NodeStatus.OFFLINE, NodeStatus.NEVER)


def retry_due(retry_at: datetime, now: datetime) -> bool:
    """Say whether a next attempt is due: also when the clock was set back since, for no wait is so long."""
    return retry_at <= now or retry_at - now > timedelta(seconds=BACKOFF_LONGEST_SECONDS)


def next_step(
    *,
    state: str,
    desired: str,
    node_status: str,
    entry: dict[str, Any] | None,
    created: bool = False,
    docker_ok: bool = True,
    restart_wanted: bool = False,
    retry_due: bool | None = None,
) -> Step:
    """Decide for one member of a live launch, or for a launch without one. Pure.

    `state` is the launch's, `entry` is the member's newest observation (None: the node does not see it),
    `created` whether its container was ever there, `docker_ok` whether the node's
    Docker answers: while it does not, not seeing a container says nothing about it,
    `retry_due` None without a planned attempt, else whether its time has come.
    """
    if retry_due is not None:
        return Step(nudge="again") if retry_due and node_status == NodeStatus.ONLINE else Step()
    if node_status in SILENT:
        waiting = state in (S.REQUESTED, S.STOPPING, S.LOST)
        return Step() if waiting else Step(state=S.LOST, message="The node is silent")
    if desired == Desired.STOPPED or restart_wanted or state == S.STOPPING:
        return Step(nudge="stop")
    if node_status == NodeStatus.STALE:
        return Step()
    if entry is None:
        return Step() if created and not docker_ok else Step(nudge="start")
    return _observed_step(state, entry)


def _observed_step(state: str, entry: dict[str, Any]) -> Step:
    phase, probe = entry.get("phase"), entry.get("probe") or {}
    stage = entry.get("stage") or {}
    if phase == "pulling":
        return Step(state=S.PULLING, message=f"Pulling the image {stage.get('message') or ''}".strip())
    if phase == "creating":
        return Step(state=S.STARTING, message="Creating the container")
    if phase != "running":
        return Step()  # exited or gone: the fact about it says how, and is on its way
    if entry.get("hang") and state in (S.READY, S.DEGRADED):
        return Step(state=S.DEGRADED, message=str(entry["hang"]))
    if probe.get("ready"):
        return Step(state=S.READY, message="Ready: it answers and lists its model")
    if state in (S.READY, S.DEGRADED):
        lost = (probe.get("failures") or 0) >= DEGRADED_AFTER_FAILURES
        return Step(state=S.DEGRADED, message=f"Does not answer: {probe.get('message')}") if lost else Step()
    if stage.get("name") == "download":
        return Step(state=S.LOADING, message="The container runs; its model is downloaded")
    return Step(state=S.LOADING, message="The container runs; the engine loads")


@dataclass
class Reconciler:
    """Remembers when each member was last nudged (monotonic seconds)."""

    observed: Observations
    clock: Callable[[], float] = time.monotonic
    nudged: dict[str, float] = field(default_factory=dict)
    orphans: dict[str, float] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)
    stages: StageClocks = field(default_factory=StageClocks)

    def launch_reconcile(self) -> int:
        """Compare all live launches with what nodes report, and act. Returns how many there are."""
        launches = list(
            Launch.objects.filter(live=True)
            .select_related("definition", "node")
            .prefetch_related("attempts__members__node")
        )
        claimed: set[str] = set()
        for launch in launches:
            members = [member for member in newest_members(launch) if member.live]
            claimed.update(member.uid for member in members)
            try:
                self._one(launch, members)
            except LaunchRefused as refused:
                launch_move(
                    launch,
                    S.FAILED,
                    message=refused.message,
                    failure_code=refused.code,
                    failure_reason=refused.message,
                )
            except Exception:
                log.exception("reconcile failed", launch=launch.uid)
        self._orphans_stop(claimed)
        self.stages.keep_only({attempt.pk for one in launches for attempt in list(one.attempts.all())[:1]})
        return len(launches)

    def _one(self, launch: Launch, members: list[LaunchMember]) -> None:
        placed = newest_members(launch)
        nodes = launch_nodes(launch)
        if not nodes:
            _node_deleted(launch)
            return
        if room_awaited(launch, members):
            return
        now = timezone.now()
        entries = [self.observed.member(member_node_name(member), member.uid) for member in members]
        seconds = (now - launch.state_changed_at).total_seconds()
        situation: dict[str, Any] = {
            "state": launch.state,
            "desired": launch.desired,
            "restart_wanted": launch.restart_wanted,
            "retry_due": None if launch.retry_at is None else retry_due(launch.retry_at, now),
        }
        steps = [
            next_step(
                node_status=member.node.status if member.node else NodeStatus.NEVER,
                entry=entry,
                created=bool(member.container_id),
                docker_ok=self.observed.docker_ok(member_node_name(member)),
                **situation,
            )
            for member, entry in zip(members, entries, strict=True)
        ]
        if not members:
            self._nudge_empty(launch, next_step(node_status=_worst_status(nodes), entry=None, **situation))
            return
        step = group_step(
            steps,
            state=launch.state,
            labels=[member_label(member) for member in members],
            silent=[member.node is None or member.node.status in SILENT for member in members],
            some_ended=len(members) < len(placed),
            seconds_in_state=seconds,
        )
        if step.state and step.state != launch.state:
            launch_move(launch, step.state, message=step.message)
        self._carry_out(step, launch, members)
        if not launch.adopted_foreign:  # of which it is told how it is, and nothing is done to it
            self._mend(launch, members, entries)
        self._progress_show(launch, next((one for one in entries if one and one.get("stage")), entries[0]))

    def _mend(
        self, launch: Launch, members: list[LaunchMember], entries: list[dict[str, Any] | None]
    ) -> None:
        """Give up on an engine that hangs where its definition says so, and on a start that stands still."""
        if hung := hang_to_mend(launch, entries):
            _give_up(launch, members, Stood("hang", hung))
        if stood := self.stages.look(launch, [entry for entry in entries if entry]):
            _give_up(launch, members, stood)

    def _nudge_empty(self, launch: Launch, step: Step) -> None:
        """Act for a launch without a container: it waits for its next attempt, or its end was missed."""
        if step.state and step.state != launch.state:
            launch_move(launch, step.state, message=step.message)
        if step.nudge == "stop" and not launch.restart_wanted:
            with transaction.atomic():
                launch_concluded(launch, "", "Its containers ended")
        elif step.nudge:
            attempts.attempt_again(launch, "Starting again")

    def _carry_out(self, step: GroupStep, launch: Launch, members: list[LaunchMember]) -> None:
        if step.whole == "teardown":
            with transaction.atomic():
                group_fail(launch, members, "member_lost", step.message)
        for nudge, member in zip(step.nudges, members, strict=False):
            if nudge and self._due(member.uid):
                if nudge == "start":
                    attempts.start_nudge(member)
                else:
                    attempts.stop_nudge(launch, member)

    def _due(self, uid: str) -> bool:
        now = self.clock()
        if now - self.nudged.get(uid, -NUDGE_EVERY_SECONDS) < NUDGE_EVERY_SECONDS:
            return False
        self.nudged[uid] = now
        return True

    def _progress_show(self, launch: Launch, entry: dict[str, Any] | None) -> None:
        stage = (entry or {}).get("stage")
        if (
            launch.state in (S.PULLING, S.STARTING, S.LOADING)
            and stage
            and self.progress.get(launch.uid) != stage
        ):
            self.progress[launch.uid] = stage
            launch_publish(launch, progress=stage)
        elif launch.uid in self.progress and not stage:
            del self.progress[launch.uid]

    def _orphans_stop(self, claimed: set[str]) -> None:
        """Stop running containers of ours that no live launch claims, once they were seen for a while.

        Those that somebody else started are given back instead.
        """
        now, seen = self.clock(), set()
        for node_name, view in list(self.observed.nodes.items()):
            for uid, entry in view.members.items():
                if uid not in claimed and entry.get("phase") in ("running", "pulling", "creating"):
                    seen.add(uid)
                    self._orphan_stop(node_name, uid, entry, now)
        self.orphans = {uid: since for uid, since in self.orphans.items() if uid in seen}

    def _orphan_stop(self, node_name: str, uid: str, entry: dict[str, Any], now: float) -> None:
        since = self.orphans.setdefault(uid, now)
        known = LaunchMember.objects.filter(uid=uid).select_related("attempt__launch").first()
        if known and known.live:
            return  # its launch began after this round was loaded
        patience = ENDED_AFTER_SECONDS if known else ORPHAN_AFTER_SECONDS
        if now - since >= patience and self._due(uid):
            generation = max(entry.get("generation") or 0, known.attempt.launch.generation if known else 0)
            told = {"launch": entry.get("launch"), "member": uid, "generation": generation}
            if entry.get("adopted"):
                commands.send(node_name, "models.container_release", **told)
                return
            log.warning("stopping a container that no launch claims", node=node_name, member=uid)
            commands.send(
                node_name,
                "models.container_stop",
                **told,
                timeout_seconds=attempts.STOP_TIMEOUT_SECONDS,
            )


@transaction.atomic
def _give_up(launch: Launch, members: list[LaunchMember], stood: Stood) -> None:
    """Take it down; it is started again or has failed once that is done.

    What hangs ends only by SIGKILL, half a minute later: until then it has the port and the memory.
    """
    group_fail(launch, members, stood.code, stood.reason)


def _node_deleted(launch: Launch) -> None:
    deleted = [member_node_name(one) for one in newest_members(launch) if one.node is None]
    reason = (
        f"{', '.join(deleted) or launch.node_name} was deleted while it was silent; a container may still "
        "run there. Add the node again and SparkWeb stops it."
    )
    launch_move(launch, S.FAILED, message=reason, failure_code="node_deleted", failure_reason=reason)


def _worst_status(nodes: list[Node]) -> str:
    return max((node.status for node in nodes), key=STATUS_ORDER.index)


RECONCILER = Reconciler(OBSERVED)
