"""Runs as they should be against what nodes report, each second, and at once when one ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from metrics_app.models import NodeStatus
from sandbox_app.dispatch import UNDER_WAY, queue_dispatch, run_cancel_send, run_send
from sandbox_app.ending import run_end
from sandbox_app.models import Outcome, RunDesired, RunState, ToolRun
from sandbox_app.observing import SEEN, RunsSeen
from sandbox_app.pools_wanted import POOL_KEEPER

EVERY_SECONDS = 1.0
NUDGE_EVERY_SECONDS = 5.0
# A node that has not taken a run by then will not: Redis was away, or its queue was lost.
TAKEN_WITHIN_SECONDS = 60.0
# A run that a node has taken and reports no more: its end may be on its way.
UNKNOWN_SECONDS = 20.0
# Beyond a run's own time: starting a container, killing it, telling the end.
OVERDUE_SECONDS = 60.0


@dataclass
class RunReconciler:
    """Looks at every live run; remembers when each was nudged (monotonic seconds)."""

    seen: RunsSeen
    clock: Callable[[], float] = time.monotonic
    nudged: dict[str, float] = field(default_factory=dict)

    def runs_reconcile(self) -> int:
        """Do what is due: end, send again, let in. Returns how many live runs there are."""
        now = timezone.now()
        runs = list(ToolRun.objects.filter(live=True).select_related("node", "session"))
        live = {run.uid for run in runs}
        self.nudged = {uid: at for uid, at in self.nudged.items() if uid in live}
        self.seen.forget(live)
        for run in runs:
            if run.state in UNDER_WAY:
                self._under_way(run, now)
            else:
                self._waiting(run, now)
        queue_dispatch()
        POOL_KEEPER.pools_keep()
        return len(runs)

    def _waiting(self, run: ToolRun, now: datetime) -> None:
        """End what has waited too long."""
        if run.state == RunState.APPROVAL:
            minutes = settings.SANDBOX_APPROVAL_MINUTES
            if now - run.created_at > timedelta(minutes=minutes):
                run_end(run, Outcome.DENIED, f"nobody approved it within {minutes} minutes")
        elif now - run.queued_at > timedelta(seconds=settings.SANDBOX_QUEUE_SECONDS):
            seconds = settings.SANDBOX_QUEUE_SECONDS
            run_end(run, Outcome.REFUSED, f"it waited for {seconds} s, and there was no room for it")

    def _under_way(self, run: ToolRun, now: datetime) -> None:
        if reason := self._lost(run, now):
            if run_end(run, Outcome.LOST, reason):
                run_cancel_send(run, reason)  # should it begin after all
        elif run.desired == RunDesired.CANCELLED:
            if self._due(run):
                run_cancel_send(run, "cancelled")
        elif run.state == RunState.REQUESTED and not self._taken(run) and self._due(run):
            run_send(run)

    def _lost(self, run: ToolRun, now: datetime) -> str:
        """Why a run counts as lost; "" for one that does not."""
        if run.node is None:
            return f"{run.node_name} was removed"
        begun_at = run.started_at or run.sent_at or run.queued_at
        age = (now - begun_at).total_seconds()
        if age > float(run.policy.get("timeout_seconds") or 0) + OVERDUE_SECONDS:
            silent = run.node.status in (NodeStatus.OFFLINE, NodeStatus.NEVER)
            return f"{run.node_name} {'is silent' if silent else 'never told its end'}"
        absent = self.seen.absent_seconds(run.node_name, run.uid, run.generation)
        if run.state == RunState.REQUESTED and age > TAKEN_WITHIN_SECONDS and absent > UNKNOWN_SECONDS:
            return f"{run.node_name} did not take it within {TAKEN_WITHIN_SECONDS:.0f} s"
        if (
            run.state == RunState.RUNNING
            and absent > UNKNOWN_SECONDS
            and run.node.status == NodeStatus.ONLINE
        ):
            return f"{run.node_name} does not know it any more; its agent was restarted"
        return ""

    def _taken(self, run: ToolRun) -> bool:
        """Whether the node reports the run."""
        return (run.uid, run.generation) in self.seen.runs.get(run.node_name, ())

    def _due(self, run: ToolRun) -> bool:
        """Whether a nudge is due; the first one was sent when the run was let in or cancelled."""
        now = self.clock()
        if now - self.nudged.setdefault(run.uid, now) < NUDGE_EVERY_SECONDS:
            return False
        self.nudged[run.uid] = now
        return True


RUN_RECONCILER = RunReconciler(SEEN)
