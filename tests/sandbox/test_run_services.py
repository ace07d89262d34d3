"""Calls of tools: who may, what waits, what is told to the node, and what the audit has of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from metrics_app.models import Node, NodeStatus
from sandbox_app import places, services
from sandbox_app.dispatch import arguments_of
from sandbox_app.exceptions import (
    ArgumentsInvalid,
    ToolBusy,
    ToolForbidden,
    ToolRefused,
    ToolUnavailable,
    ToolUnknown,
)
from sandbox_app.job import job_read
from sandbox_app.models import (
    AuditKind,
    AuditRecord,
    Outcome,
    RunDesired,
    RunState,
    SessionState,
    Tool,
    ToolRun,
    ToolSession,
)
from sandbox_app.observing import SEEN, tool_run_began, tool_run_ended
from sandbox_app.reconcile import RunReconciler
from sandbox_app.services import (
    tool_run_approve,
    tool_run_cancel,
    tool_run_create,
    tool_run_deny,
    tool_run_replay,
)
from sparkweb.accounts.actor import Actor
from sparkweb.accounts.models import User
from sparkweb.node_link import commands
from tests.factories import NodeFactory
from tests.sandbox.conftest import ending

pytestmark = pytest.mark.django_db


@pytest.fixture
def call(
    tool: Tool,
    node: Node,
    someone: Actor,
    told: Any,
    nudges: Any,
    frames: Any,
    django_capture_on_commit_callbacks: Any,
) -> Any:
    """Ask for a run; what happens on commit happens."""

    def create(arguments: Any = None, **fields: Any) -> ToolRun:
        wanted = {"tool": tool, "actor": someone, "via": "api", **fields}
        with django_capture_on_commit_callbacks(execute=True):
            return tool_run_create(
                arguments={"code": "print(1)"} if arguments is None else arguments, **wanted
            )[0]

    return create


def audit_kinds(run: ToolRun | None = None) -> list[str]:
    rows = AuditRecord.objects.order_by("number")
    if run is not None:
        rows = rows.filter(run_uid=run.uid)
    return list(rows.values_list("kind", flat=True))


def session_of(user: User, node: Node, **fields: Any) -> ToolSession:
    defaults = {
        "owner": user,
        "node": node,
        "node_name": node.name,
        "expires_at": timezone.now() + timedelta(hours=1),
    }
    return ToolSession.objects.create(**{**defaults, **fields})


# What a call does ---------------------------------------------------------------------


def test_a_call_is_stored_audited_and_told_to_the_node(call: Any, nudges: Any, someone: Actor) -> None:
    run = call({"code": "print(1)", "password": "hunter2"})
    row = ToolRun.objects.get(uid=run.uid)
    assert (row.state, row.live, row.user, row.node_name) == (
        RunState.REQUESTED,
        True,
        someone.user,
        "spark-1",
    )
    assert row.arguments == {"code": "print(1)", "password": "[masked]"}
    assert "hunter2" not in row.sealed_arguments
    assert arguments_of(row)["password"] == "hunter2"
    ((name, task, told_node),) = nudges
    job = job_read(told_node["job"])
    assert (name, task, job.run, job.generation) == ("spark-1", "sandbox.run", run.uid, 1)
    assert (job.arguments, job.program, job.runner) == (
        {"code": "print(1)", "password": "hunter2"},
        "run.py",
        "container",
    )
    assert job.policy.memory_bytes == 256 * 2**20
    record = AuditRecord.objects.get()
    assert (record.kind, record.run_uid, record.tool_name) == (AuditKind.STARTED, run.uid, "code")
    assert record.content["arguments"]["password"] == "[masked]"


def test_the_audit_entry_is_committed_before_the_node_is_told(
    call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(commands, "send", lambda *_, **__: seen.append(audit_kinds()))
    call()
    assert seen == [["started"]]


def test_large_arguments_do_not_travel_in_the_nudge(call: Any, nudges: Any) -> None:
    call({"code": "x" * 3_900_000})
    job = job_read(nudges[0][2]["job"])
    assert job.arguments is None
    assert len(job.arguments_digest) == 64


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        [],
        {"code": 1},
        {"code": "x", "surplus": 1},
        {"code": "nul \0"},
        {"code": "half \ud800"},
        {"code": "x" * (4 * 2**20)},
    ],
)
def test_bad_arguments_are_refused_and_recorded(call: Any, nudges: Any, arguments: Any) -> None:
    with pytest.raises(ArgumentsInvalid):
        call(arguments)
    assert not ToolRun.objects.exists()
    assert not nudges
    assert audit_kinds() == ["refused"]


def test_nobody_fills_the_record_with_refusals(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "REFUSALS_A_MINUTE", 3)
    for _ in range(5):
        with pytest.raises(ArgumentsInvalid):
            call({"colour": "x" * 100_000})
    assert audit_kinds() == ["refused"] * 3
    assert all(len(row.body) < 8192 for row in AuditRecord.objects.all())


def test_the_role_and_the_scope_of_a_key_decide(call: Any, viewer: User, operator: User) -> None:
    with pytest.raises(ToolForbidden):
        call(actor=Actor(viewer, "viewer", "api"))
    with pytest.raises(ToolForbidden):
        call(actor=Actor(operator, "operator (key)", "api", rank=1))
    assert call(actor=Actor(operator, "operator (key)", "api", rank=2)).live
    assert audit_kinds() == ["refused", "refused", "started"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"enabled": False}, "tool_disabled"),
        ({"missing": True}, "tool_missing"),
        ({"problem": "line 3: unknown key"}, "tool_broken"),
    ],
)
def test_a_tool_that_is_off_gone_or_refused_does_not_run(
    call: Any, tool: Tool, fields: Any, code: str
) -> None:
    Tool.objects.update(**fields)
    tool.refresh_from_db()
    with pytest.raises(ToolRefused) as refused:
        call()
    assert refused.value.code == code


def test_the_same_key_twice_is_one_run(call: Any, nudges: Any, viewer: User) -> None:
    first, second = call(idempotency_key="k"), call(idempotency_key="k")
    assert (first.uid, len(nudges), audit_kinds()) == (second.uid, 1, ["started"])
    with pytest.raises(ToolRefused, match="another call"):
        call({"code": "print(2)"}, idempotency_key="k")


def test_a_key_is_its_users_alone(call: Any, admin: User) -> None:
    first = call(idempotency_key="k")
    assert call(idempotency_key="k", actor=Actor(admin, "admin", "api")).uid != first.uid


# Sessions ------------------------------------------------------------------------------


def test_a_session_is_its_owners_and_chooses_the_node(
    call: Any, told: Any, operator: User, admin: User, nudges: Any
) -> None:
    other = NodeFactory(name="spark-2", status=NodeStatus.ONLINE)
    told("spark-2", available_mib=1_000_000)
    session = session_of(operator, Node.objects.get(name="spark-1"))
    run = call(session=session)
    assert run.node_name == "spark-1"
    assert job_read(nudges[0][2]["job"]).session.uid == session.uid  # type: ignore[union-attr]
    assert call().node == other
    with pytest.raises(ToolUnknown):
        call(session=session_of(admin, other))


@pytest.mark.parametrize(
    "fields", [{"state": SessionState.ENDED}, {"expires_at": timezone.now() - timedelta(seconds=1)}]
)
def test_a_session_that_has_ended_serves_nothing(call: Any, operator: User, node: Node, fields: Any) -> None:
    with pytest.raises(ToolRefused, match="has ended"):
        call(session=session_of(operator, node, **fields))


def test_a_session_that_ends_at_the_same_moment_takes_no_run(
    call: Any, operator: User, node: Node, nudges: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_of(operator, node)

    def ended_meanwhile() -> None:
        ToolSession.objects.update(state=SessionState.ENDING)

    monkeypatch.setattr("sandbox_app.services.queue_lock", ended_meanwhile)
    with pytest.raises(ToolRefused) as refused:
        call(session=session)
    assert refused.value.code == "session_ended"
    assert (ToolRun.objects.count(), nudges, audit_kinds()) == (0, [], ["refused"])


def test_a_session_serves_one_run_at_a_time(call: Any, operator: User, node: Node) -> None:
    session = session_of(operator, node)
    states = [call(session=session).state, call(session=session).state, call().state]
    assert states == [RunState.REQUESTED, RunState.QUEUED, RunState.REQUESTED]


# Nodes ---------------------------------------------------------------------------------


def test_the_node_with_most_memory_and_the_image_takes_it(call: Any, told: Any) -> None:
    for name, mib, image in (("spark-2", 90_000, "ok"), ("spark-3", 200_000, "missing")):
        NodeFactory(name=name, status=NodeStatus.ONLINE)
        told(name, available_mib=mib, image=image)
    assert call().node_name == "spark-2"


def test_a_node_that_has_not_looked_yet_may_have_the_image_and_comes_last(call: Any, told: Any) -> None:
    told("spark-1", image="unknown")
    assert call().node_name == "spark-1"
    NodeFactory(name="spark-2", status=NodeStatus.ONLINE)
    told("spark-2", available_mib=8000, image="ok")
    told("spark-1", available_mib=90_000, image="unknown")
    assert call().node_name == "spark-2"


@pytest.mark.django_db(transaction=True)
def test_a_node_removed_since_it_was_looked_at_is_to_be_tried_again(
    tool: Tool, node: Node, someone: Actor, told: Any, nudges: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = places.places()
    monkeypatch.setattr(services, "places_lately", lambda: seen)
    node.delete()
    with pytest.raises(ToolUnavailable, match="was removed; try again"):
        tool_run_create(tool=tool, arguments={"code": "1"}, actor=someone, via="api")
    assert not ToolRun.objects.exists()


def test_the_first_report_of_an_agent_refuses_nothing(
    call: Any, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = {"report": {"host": {"memory_available_bytes": 2**36}, "sandbox": None}}
    monkeypatch.setattr("sandbox_app.places.node_snapshots", lambda names: dict.fromkeys(names, first))
    assert call().node_name == "spark-1"


def test_without_a_node_it_is_to_be_tried_later(call: Any, node: Node) -> None:
    Node.objects.update(status=NodeStatus.OFFLINE)
    with pytest.raises(ToolUnavailable, match="No node is online") as refused:
        call()
    assert refused.value.retry_after_seconds
    with pytest.raises(ToolUnavailable, match="spark-1 is not online"):
        call(node=node)


def test_without_the_image_it_is_said_what_to_do(call: Any, told: Any) -> None:
    told(image="missing")
    with pytest.raises(ToolRefused, match="build it"):
        call()


def test_a_demanded_runtime_fails_closed(call: Any, tool: Tool) -> None:
    tool.definition = {**tool.definition, "sandbox": {**tool.definition["sandbox"], "runtime": "runsc"}}
    with pytest.raises(ToolRefused, match="runsc"):
        call()


def test_memory_is_waited_for_while_others_run_and_refused_when_none_does(
    call: Any, told: Any, settings: Any
) -> None:
    settings.SANDBOX_RESERVE_MB = 1000
    told(available_mib=1100)
    with pytest.raises(ToolRefused) as refused:
        call()
    assert refused.value.code == "memory_short"
    told(available_mib=1300)
    assert call().state == RunState.REQUESTED
    assert call().state == RunState.QUEUED
    told(available_mib=None)
    assert call().state == RunState.REQUESTED  # nobody knows


# The queue -----------------------------------------------------------------------------


def test_over_the_limits_it_waits_and_goes_on_when_one_ends(
    call: Any, settings: Any, nudges: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.SANDBOX_USER_RUNS = 1
    first, second, third = call(), call(), call()
    assert [second.state, third.state, len(nudges)] == [RunState.QUEUED, RunState.QUEUED, 1]
    with django_capture_on_commit_callbacks(execute=True):
        tool_run_ended("spark-1", ending(first))
        RunReconciler(SEEN).runs_reconcile()
    second.refresh_from_db()
    third.refresh_from_db()
    assert [second.state, third.state] == [RunState.REQUESTED, RunState.QUEUED]
    assert nudges[-1][2]["job"]["run"] == second.uid


def test_too_many_waiting_are_busy(call: Any, settings: Any) -> None:
    settings.SANDBOX_USER_RUNS, settings.SANDBOX_QUEUE_RUNS = 1, 1
    call()
    call()
    with pytest.raises(ToolBusy) as refused:
        call()
    assert (refused.value.status, refused.value.retry_after_seconds) == (429, 5)


def test_a_run_that_waited_too_long_is_refused(call: Any, settings: Any) -> None:
    settings.SANDBOX_USER_RUNS = 1
    call()
    waiting = call()
    ToolRun.objects.filter(pk=waiting.pk).update(queued_at=timezone.now() - timedelta(seconds=400))
    RunReconciler(SEEN).runs_reconcile()
    waiting.refresh_from_db()
    assert (waiting.outcome, audit_kinds(waiting)) == (Outcome.REFUSED, ["started", "ended"])


# Approval, cancellation, replay ------------------------------------------------------------


def test_approval_is_waited_for_and_given(call: Any, tool: Tool, nudges: Any, someone: Actor, frames: Any,
                                          django_capture_on_commit_callbacks: Any) -> None:  # fmt: skip
    tool.approval = True
    run = call()
    assert (run.state, nudges) == (RunState.APPROVAL, [])
    assert frames[-1][1] == (run.user_id, "operator")
    with django_capture_on_commit_callbacks(execute=True):
        approved = tool_run_approve(run=run, actor=someone)
    assert (approved.state, approved.approved_by, len(nudges)) == (RunState.REQUESTED, someone.user, 1)
    with pytest.raises(ToolRefused):
        tool_run_approve(run=run, actor=someone)


def test_denied_and_forgotten_runs_never_begin(
    call: Any, tool: Tool, nudges: Any, someone: Actor, viewer: User
) -> None:
    tool.approval = True
    denied, forgotten = call(), call()
    with pytest.raises(ToolForbidden):
        tool_run_deny(run=denied, actor=Actor(viewer, "viewer", "page"))
    assert tool_run_deny(run=denied, actor=someone, reason="no").reason == "denied by operator: no"
    ToolRun.objects.filter(pk=forgotten.pk).update(created_at=timezone.now() - timedelta(days=1))
    RunReconciler(SEEN).runs_reconcile()
    forgotten.refresh_from_db()
    assert (forgotten.outcome, nudges) == (Outcome.DENIED, [])
    assert audit_kinds(denied) == audit_kinds(forgotten) == ["started", "ended"]


def test_a_cancelled_run_is_told_to_its_node_and_ends_by_its_fact(
    call: Any, nudges: Any, someone: Actor, viewer: User, django_capture_on_commit_callbacks: Any
) -> None:
    run = call()
    with pytest.raises(ToolForbidden):
        tool_run_cancel(run=run, actor=Actor(viewer, "viewer", "api"))
    with django_capture_on_commit_callbacks(execute=True):
        tool_run_cancel(run=run, actor=someone)
        tool_run_cancel(run=run, actor=someone)
    assert [task for _, task, _ in nudges] == ["sandbox.run", "sandbox.cancel"]
    run.refresh_from_db()
    assert (run.live, run.desired) == (True, RunDesired.CANCELLED)
    tool_run_ended("spark-1", ending(run, "cancelled", reason="cancelled by operator"))
    run.refresh_from_db()
    assert (run.outcome, audit_kinds(run)) == (Outcome.CANCELLED, ["started", "ended"])
    assert tool_run_cancel(run=run, actor=someone).outcome == Outcome.CANCELLED


def test_a_waiting_run_is_cancelled_at_once(call: Any, settings: Any, someone: Actor, nudges: Any) -> None:
    settings.SANDBOX_USER_RUNS = 1
    call()
    run = tool_run_cancel(run=call(), actor=someone)
    assert (run.outcome, run.live, len(nudges)) == (Outcome.CANCELLED, False, 1)


def test_a_replay_has_the_same_arguments_and_the_tool_of_now(call: Any, tool: Tool, someone: Actor) -> None:
    run = call({"code": "print(1)", "password": "hunter2"})
    Tool.objects.update(digest="e" * 64)
    again = tool_run_replay(run=ToolRun.objects.get(pk=run.pk), actor=someone, via="page")
    assert (again.replay_of, again.tool_digest, arguments_of(again)["password"]) == (run, "e" * 64, "hunter2")
    Tool.objects.all().delete()
    with pytest.raises(ToolRefused, match="is gone"):
        tool_run_replay(run=ToolRun.objects.get(pk=run.pk), actor=someone, via="page")


# Beginning is told to who may see it -------------------------------------------------------


def test_frames_go_to_the_user_and_to_admins(
    call: Any, frames: Any, django_capture_on_commit_callbacks: Any
) -> None:
    run = call()
    with django_capture_on_commit_callbacks(execute=True):
        tool_run_began("spark-1", {"run": run.uid, "generation": 1})
    assert [(frame["state"], only) for frame, only in frames] == [
        ("running", (run.user_id, "admin")),
    ]
