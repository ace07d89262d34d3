"""Facts about runs, applied once and only from their node; runs that nobody hears of any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from metrics_app.models import Node, NodeStatus
from sandbox_app.dispatch import job_of
from sandbox_app.ending import run_end
from sandbox_app.models import AuditRecord, Outcome, RunState, Tool, ToolRun
from sandbox_app.observing import SEEN, sandbox_reported, tool_run_began, tool_run_ended
from sandbox_app.reconcile import NUDGE_EVERY_SECONDS, UNKNOWN_SECONDS, RunReconciler
from sandbox_app.services import tool_run_cancel, tool_run_create
from sparkweb.accounts.actor import Actor
from tests.sandbox.conftest import ending

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(tool: Tool, node: Node, someone: Actor, told: Any, nudges: Any, frames: Any) -> ToolRun:
    return tool_run_create(tool=tool, arguments={"code": "1"}, actor=someone, via="api")[0]


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("sandbox_app.observing.time.monotonic", clock)
    return clock


def report(*runs: ToolRun) -> None:
    rows = [{"run": run.uid, "generation": run.generation, "phase": "running"} for run in runs]
    sandbox_reported("spark-1", {"runs": rows}, {})


def ended_entries(run: ToolRun) -> int:
    return AuditRecord.objects.filter(run_uid=run.uid, kind="ended").count()


# Facts -----------------------------------------------------------------------------------


def test_one_that_ended_meanwhile_does_not_begin(run: ToolRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended_meanwhile(limits: Any) -> Any:
        run_end(ToolRun.objects.get(pk=run.pk), Outcome.LOST, "its node was silent")
        return limits

    monkeypatch.setattr("sandbox_app.observing.clean", ended_meanwhile)
    tool_run_began("spark-1", {"run": run.uid, "generation": 1, "limits": {"pids": 64}})
    run.refresh_from_db()
    assert (run.state, run.outcome, run.limits) == (RunState.ENDED, Outcome.LOST, {})


def test_an_end_takes_the_lock_of_the_queue_before_that_of_its_row(
    run: ToolRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As cancelling does: in the other order PostgreSQL would end one of both as a deadlock."""
    live: list[bool] = []
    monkeypatch.setattr(
        "sandbox_app.ending.queue_lock", lambda: live.append(ToolRun.objects.get(pk=run.pk).live)
    )
    tool_run_ended("spark-1", ending(run))
    assert live == [True]


def test_a_run_begins_and_ends_once(run: ToolRun) -> None:
    tool_run_began(
        "spark-1",
        {"run": run.uid, "generation": 1, "limits": {"pids": 64}, "container_id": "c", "warm": True},
    )
    run.refresh_from_db()
    assert (run.state, run.limits, run.warm) == (RunState.RUNNING, {"pids": 64}, True)
    for outcome in ("ok", "memory"):
        tool_run_ended("spark-1", ending(run, outcome))
    run.refresh_from_db()
    assert (run.state, run.outcome, run.stdout, run.duration_ms) == (RunState.ENDED, Outcome.OK, "1\n", 12.5)
    record = AuditRecord.objects.get(run_uid=run.uid, kind="ended")
    assert (record.outcome, record.content["image"], record.content["stdout_bytes"]) == (
        "ok",
        "sha256:abc",
        2,
    )


@pytest.mark.parametrize(
    ("node_name", "change"),
    [
        ("spark-2", {}),
        ("spark-1", {"generation": 2}),
        ("spark-1", {"generation": None}),
        ("spark-1", {"run": "0" * 16}),
        ("spark-1", {"run": "x\0"}),
        ("spark-1", {"run": 5}),
    ],
)
def test_a_fact_of_another_node_or_generation_changes_nothing(
    run: ToolRun, node_name: str, change: Any
) -> None:
    tool_run_ended(node_name, ending(run) | change)
    tool_run_began(node_name, {"run": run.uid, "generation": 1} | change)
    run.refresh_from_db()
    assert (run.state, ended_entries(run)) == (RunState.REQUESTED, 0)


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"outcome": "fine"}, "outcome", "engine"),
        ({"outcome": None}, "outcome", "engine"),
        ({"exit_code": "0"}, "exit_code", None),
        ({"exit_code": 2**40}, "exit_code", None),
        ({"signal": -5}, "signal", None),
        ({"duration_ms": float("inf")}, "duration_ms", None),
        ({"duration_ms": True}, "duration_ms", None),
        ({"stdout": "a\0b\ud800"}, "stdout", "a\N{REPLACEMENT CHARACTER}b?"),
        ({"stdout": 5}, "stdout", ""),
        ({"stdout_bytes": -1}, "stdout_bytes", 0),
        ({"result": {"a\0": [float("nan"), "b\0"]}}, "result", {"a\ufffd": [None, "b\ufffd"]}),
        ({"limits": "many"}, "limits", {}),
        ({"egress": {"a": 1}}, "egress", []),
        ({"reason": "x" * 5000}, "reason", "x" * 2000),
        ({"image_digest": "x" * 500}, "image_digest", "x" * 80),
    ],
)
def test_what_cannot_be_true_is_left_out(run: ToolRun, change: Any, field: str, value: Any) -> None:
    tool_run_ended("spark-1", ending(run) | change)
    run.refresh_from_db()
    assert (run.live, getattr(run, field), ended_entries(run)) == (False, value, 1)


def test_a_deep_result_is_cut(run: ToolRun) -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    tool_run_ended("spark-1", ending(run, result=deep))
    run.refresh_from_db()
    assert not run.live


@pytest.mark.parametrize("section", [None, [], {"runs": 5}, {"runs": [5, {"run": 1}]}, {}])
def test_an_odd_report_section_is_taken_for_nothing(run: ToolRun, section: Any) -> None:
    sandbox_reported("spark-1", section, {})
    RunReconciler(SEEN).runs_reconcile()
    run.refresh_from_db()
    assert run.live


# What is not heard of ------------------------------------------------------------------------


def test_what_was_not_taken_is_sent_again(run: ToolRun, nudges: Any, clock: Clock) -> None:
    reconciler = RunReconciler(SEEN, clock)
    report()
    for _ in range(3):
        reconciler.runs_reconcile()
    assert [task for _, task, _ in nudges] == []
    clock.now += NUDGE_EVERY_SECONDS
    reconciler.runs_reconcile()
    reconciler.runs_reconcile()
    assert [task for _, task, _ in nudges] == ["sandbox.run"]
    report(run)
    clock.now += NUDGE_EVERY_SECONDS
    reconciler.runs_reconcile()
    assert len(nudges) == 1


def test_a_run_that_its_node_forgot_is_lost_after_a_grace(run: ToolRun, clock: Clock) -> None:
    reconciler = RunReconciler(SEEN, clock)
    tool_run_began("spark-1", {"run": run.uid, "generation": 1})
    report(run)
    reconciler.runs_reconcile()
    report()
    reconciler.runs_reconcile()
    clock.now += UNKNOWN_SECONDS - 1
    reconciler.runs_reconcile()
    run.refresh_from_db()
    assert run.live
    clock.now += 2
    reconciler.runs_reconcile()
    tool_run_ended("spark-1", ending(run))  # too late: the record stands
    run.refresh_from_db()
    assert (run.outcome, ended_entries(run)) == (Outcome.LOST, 1)
    assert "does not know it any more" in run.reason


@pytest.mark.parametrize(
    ("status", "words"), [(NodeStatus.OFFLINE, "is silent"), (NodeStatus.ONLINE, "never told")]
)
def test_an_overdue_run_is_lost_and_its_node_told(run: ToolRun, nudges: Any, status: str, words: str) -> None:
    tool_run_began("spark-1", {"run": run.uid, "generation": 1})
    Node.objects.update(status=status)
    ToolRun.objects.update(started_at=timezone.now() - timedelta(seconds=91))
    report(run)
    RunReconciler(SEEN).runs_reconcile()
    run.refresh_from_db()
    assert (run.outcome, ended_entries(run)) == (Outcome.LOST, 1)
    assert words in run.reason
    assert nudges[-1][1] == "sandbox.cancel"


def test_a_run_of_a_removed_node_is_lost(run: ToolRun) -> None:
    Node.objects.all().delete()
    RunReconciler(SEEN).runs_reconcile()
    run.refresh_from_db()
    assert (run.outcome, run.reason) == (Outcome.LOST, "spark-1 was removed")


def test_a_cancellation_is_told_again_until_the_run_ends(
    run: ToolRun, nudges: Any, clock: Clock, someone: Actor
) -> None:
    reconciler = RunReconciler(SEEN, clock)
    tool_run_cancel(run=run, actor=someone)
    report(run)
    for _ in range(3):
        reconciler.runs_reconcile()
        clock.now += NUDGE_EVERY_SECONDS
    assert [task for _, task, _ in nudges] == ["sandbox.cancel", "sandbox.cancel"]


def test_a_tool_that_vanishes_or_changes_changes_no_run_that_has_begun(run: ToolRun, nudges: Any) -> None:
    Tool.objects.all().delete()
    run.refresh_from_db()
    assert (run.tool, run.tool_digest) == (None, "d" * 64)
    assert job_of(run, {"code": "1"}).tool_digest == "d" * 64  # its folder is kept by digest
    RunReconciler(SEEN).runs_reconcile()
    tool_run_ended("spark-1", ending(run))
    run.refresh_from_db()
    assert (run.outcome, ended_entries(run)) == (Outcome.OK, 1)
