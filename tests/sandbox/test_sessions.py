"""Sessions in the database: who may have, see, extend and end them, and what nodes say of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from metrics_app import services as nodes
from metrics_app.models import Node
from sandbox_app import session_observing, sessions
from sandbox_app.models import SessionState, ToolRun, ToolSession
from sandbox_app.session_observing import (
    SessionsSeen,
    sessions_reconcile,
    sessions_reported,
    tool_session_ended,
    tool_session_ready,
)
from sandbox_app.sessions import (
    MIB,
    SessionInvalid,
    SessionRefused,
    SessionUnknown,
    session_find,
    session_live,
    session_seen,
    sessions_prune,
    sessions_visible,
    tool_session_create,
    tool_session_end,
    tool_session_extend,
)
from sparkweb.accounts.actor import Actor
from sparkweb.accounts.models import AuditEntry, Role, User
from sparkweb.refusal import Refused
from tests.factories import NodeFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def node(db: None) -> Node:
    return NodeFactory(name="spark-1", status="online")  # type: ignore[no-any-return]


@pytest.fixture
def sent(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> list[tuple[str, str, int]]:
    """The nudges `sandbox.session_end`: node, session, generation."""
    found: list[tuple[str, str, int]] = []

    def send(node_name: str, task: str, **arguments: Any) -> bool:
        assert task == "sandbox.session_end"
        found.append((node_name, arguments["session"], arguments["generation"]))
        return True

    monkeypatch.setattr(sessions.commands, "send", send)
    return found


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def seen(clock: Clock) -> SessionsSeen:
    return SessionsSeen(clock)


def actor(user: User) -> Actor:
    return Actor(user, user.username, "page")


def make(owner: User, node: Node, **fields: Any) -> ToolSession:
    return tool_session_create(owner=owner, node=node, actor=actor(owner), **fields)


def refused(kind: type[Refused], code: str) -> Any:
    return pytest.raises(kind, check=lambda error: error.code == code)


# Begin -------------------------------------------------------------------------------


def test_a_session_has_the_sizes_of_the_settings(operator: User, node: Node) -> None:
    session = make(operator, node, label=" Plots ")
    assert (session.state, session.workspace, session.label) == ("live", "", "Plots")
    assert (session.size_bytes, session.inodes) == (256 * MIB, 16_384)
    assert session.expires_at - session.created_at == timedelta(hours=72)
    assert AuditEntry.objects.get().action == "tool_session_create"
    assert make(operator, node, size_mb=32, hours=1).inodes == 2048


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"size_mb": 31}, "size_invalid"),
        ({"size_mb": 4097}, "size_invalid"),
        ({"hours": 0}, "hours_invalid"),
        ({"hours": 721}, "hours_invalid"),
        ({"label": "x" * 121}, "label_invalid"),
        ({"label": "a\0"}, "label_invalid"),
    ],
)
def test_odd_wishes_are_refused(operator: User, node: Node, fields: dict[str, Any], code: str) -> None:
    with refused(SessionInvalid, code):
        make(operator, node, **fields)
    assert not ToolSession.objects.exists()


def test_viewers_and_silent_nodes_get_none(viewer: User, operator: User, node: Node) -> None:
    with refused(SessionRefused, "role_missing"):
        make(viewer, node)
    with refused(SessionRefused, "node_offline"):
        make(operator, NodeFactory(status="offline"))


def test_a_user_may_have_so_many(operator: User, admin: User, node: Node, settings: Any) -> None:
    settings.SANDBOX_SESSIONS = 2
    first = make(operator, node)
    make(operator, node)
    with refused(SessionRefused, "sessions_many"):
        make(operator, node)
    make(admin, node)
    ToolSession.objects.filter(pk=first.pk).update(state=SessionState.ENDED)
    make(operator, node)


# Look up -----------------------------------------------------------------------------


def test_row_38_a_session_is_found_by_its_owner_alone(operator: User, admin: User, node: Node) -> None:
    session = make(operator, node)
    assert session_find(session.uid, operator) == session
    for stranger in (admin, UserFactory(role=Role.OPERATOR)):
        with refused(SessionUnknown, "session_unknown"):
            session_find(session.uid, stranger)
    with refused(SessionUnknown, "session_unknown"):
        session_find("00000000-0000-4000-8000-000000000000", operator)
    assert session_seen(session.uid, actor(admin)) == session
    assert list(sessions_visible(actor(admin))) == [session]
    assert not sessions_visible(actor(UserFactory(role=Role.OPERATOR))).exists()


@pytest.mark.parametrize(
    "uid", ["../x", "", "\0", "a" * 36, "../../../../../../../../../etc/passwd", "x" * 5000, "{0}/../{0}",
            " {0}", "{0}\n"]
)  # fmt: skip
def test_row_38_what_is_no_session_id_is_said_to_be_none(operator: User, node: Node, uid: str) -> None:
    with refused(SessionInvalid, "session_invalid"):
        session_find(uid.format(make(operator, node).uid), operator)


def test_one_that_is_over_is_not_used(operator: User, node: Node) -> None:
    session = make(operator, node)
    ToolSession.objects.update(expires_at=timezone.now())
    with refused(SessionRefused, "session_ended"):
        session_live(session.uid, operator)
    with refused(SessionRefused, "session_ended"):
        tool_session_extend(session=session, actor=actor(operator), hours=2)


def test_extending_never_shortens(operator: User, node: Node) -> None:
    session = make(operator, node, hours=10)
    assert (
        tool_session_extend(session=session, actor=actor(operator), hours=2).expires_at == session.expires_at
    )
    longer = tool_session_extend(session=session, actor=actor(operator), hours=20)
    assert longer.expires_at > session.expires_at + timedelta(hours=9)


# End ---------------------------------------------------------------------------------


def test_ending_is_told_to_the_node_until_it_is_done(
    operator: User, node: Node, sent: list[Any], seen: SessionsSeen, clock: Clock,
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    session = make(operator, node)
    with django_capture_on_commit_callbacks(execute=True):
        ended = tool_session_end(session=session, actor=actor(operator))
        assert tool_session_end(session=session, actor=actor(operator)).generation == ended.generation == 2
    assert sent == [("spark-1", session.uid, 2)]
    sessions_reconcile(seen)
    sessions_reconcile(seen)
    clock.now += session_observing.NUDGE_EVERY_SECONDS
    sessions_reconcile(seen)
    assert sent == [("spark-1", session.uid, 2)] * 3
    tool_session_ended("spark-2", {"session": session.uid, "generation": 2})
    tool_session_ended("spark-1", {"session": session.uid, "generation": 1, "reason": "idle"})
    assert ToolSession.objects.get().state == "ending"
    tool_session_ended("spark-1", {"session": session.uid, "generation": 2, "reason": ""})
    row = ToolSession.objects.get()
    assert (row.state, row.end_reason) == ("ended", "ended by operator")
    assert row.ended_at is not None
    assert sessions_reconcile(seen) == 0


def test_ending_takes_the_lock_of_the_queue_before_that_of_the_row(
    operator: User, node: Node, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a run that begins does: in the other order PostgreSQL would end one of both as a deadlock."""
    session, states = make(operator, node), []
    monkeypatch.setattr(
        "sandbox_app.sessions.queue_lock", lambda: states.append(ToolSession.objects.get().state)
    )
    tool_session_end(session=session, actor=actor(operator))
    assert states == ["live"]


def test_runs_end_with_their_session(operator: User, node: Node, sent: list[Any]) -> None:
    session = make(operator, node)
    fields = {"user": operator, "node": node, "node_name": node.name, "tool_name": "x", "session": session}
    waits = ToolRun.objects.create(state="queued", **fields)
    ended = ToolRun.objects.create(state="ended", live=False, outcome="ok", **fields)
    tool_session_end(session=session, actor=actor(operator))
    waits.refresh_from_db()
    ended.refresh_from_db()
    assert (waits.outcome, waits.reason) == ("cancelled", "its session ended")
    assert ended.outcome == "ok"


def test_ended_sessions_are_forgotten_in_time(operator: User, node: Node) -> None:
    now = timezone.now()
    for days, state in ((40, "ended"), (20, "ended"), (40, "live")):
        session = make(operator, node)
        ended_at = now - timedelta(days=days) if state == "ended" else None
        ToolSession.objects.filter(pk=session.pk).update(state=state, ended_at=ended_at)
    assert sessions_prune(now - timedelta(days=30)) == 1
    assert sorted(ToolSession.objects.values_list("state", flat=True)) == ["ended", "live"]


def test_a_node_may_end_one_by_itself(operator: User, node: Node) -> None:
    session = make(operator, node)
    tool_session_ended("spark-1", {"session": session.uid, "generation": 1, "reason": "idle for 900 s"})
    row = ToolSession.objects.get()
    assert (row.state, row.end_reason) == ("ended", "idle for 900 s")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda row: ToolSession.objects.update(expires_at=timezone.now()), "its time was over"),
        (
            lambda row: ToolSession.objects.update(used_at=timezone.now() - timedelta(hours=25)),
            "nobody used it for 24 hours",
        ),
        (lambda row: User.objects.update(is_active=False), "operator may no longer run tools"),
        (lambda row: User.objects.update(role="viewer"), "operator may no longer run tools"),
    ],
)
def test_sessions_end_by_themselves(
    operator: User, node: Node, sent: list[Any], seen: SessionsSeen, change: Any, reason: str
) -> None:
    session = make(operator, node)
    assert sessions_reconcile(seen) == 1
    assert ToolSession.objects.get().state == "live"
    change(session)
    sessions_reconcile(seen)
    row = ToolSession.objects.get()
    assert (row.state, row.end_reason) == ("ending", reason)


def test_idling_ends_nothing_where_the_owner_wants_that(
    operator: User, node: Node, seen: SessionsSeen, settings: Any
) -> None:
    settings.SANDBOX_SESSION_IDLE_HOURS = 0
    make(operator, node)
    ToolSession.objects.update(used_at=timezone.now() - timedelta(days=300))
    sessions_reconcile(seen)
    assert ToolSession.objects.get().state == "live"


def test_sessions_of_a_removed_node_are_gone(operator: User, node: Node, seen: SessionsSeen) -> None:
    make(operator, node, label="Plots")
    assert nodes.node_uses(node) == ["the session Plots of operator"]
    node.delete()
    sessions_reconcile(seen)
    row = ToolSession.objects.get()
    assert (row.state, row.end_reason) == ("ended", "spark-1 was removed")


def test_what_is_left_of_a_deleted_owners_session_goes_too(
    operator: User, node: Node, sent: list[Any], seen: SessionsSeen, clock: Clock
) -> None:
    """Nobody's workspace is removed after 30 s, not at once: a backup may be on its way back."""
    mine, orphan = make(operator, node), make(UserFactory(role=Role.OPERATOR), node)
    orphan.owner.delete()
    entries = [
        {"session": row.uid, "workspace": "ext4", "used_bytes": 7, "generation": 3} for row in (mine, orphan)
    ]
    sessions_reported("spark-1", entries, seen)
    clock.now += session_observing.UNKNOWN_SECONDS - 1
    sessions_reported("spark-1", entries, seen)
    assert sent == []
    clock.now += session_observing.USED_EVERY_SECONDS
    sessions_reported("spark-1", entries, seen)
    assert sent == [("spark-1", orphan.uid, 4)]
    assert ToolSession.objects.get().used_bytes == 7


# What nodes say ----------------------------------------------------------------------


def test_a_container_that_begins_anew_is_counted(operator: User, node: Node) -> None:
    session = make(operator, node)
    fact = {"session": session.uid, "generation": 1, "workspace": "tmpfs", "note": "no root", "size_bytes": 1}
    for node_name, tool in (
        ("spark-2", "bash"),
        ("spark-1", "bash"),
        ("spark-1", "code"),
        ("spark-1", "bash"),
    ):
        tool_session_ready(node_name, {**fact, "tool": tool})
    row = ToolSession.objects.get()
    assert (row.workspace, row.workspace_note) == ("tmpfs", "no root")
    assert {tool: told["count"] for tool, told in row.containers.items()} == {"bash": 2, "code": 1}


@pytest.mark.parametrize(
    "data", [{}, {"session": 7}, {"session": "\0"}, {"session": "x", "generation": "y"}, {"session": None}]
)
def test_facts_about_nothing_change_nothing(operator: User, node: Node, data: dict[str, Any]) -> None:
    make(operator, node)
    tool_session_ready("spark-1", data)
    tool_session_ended("spark-1", data)
    assert ToolSession.objects.get().state == "live"


@pytest.mark.parametrize(
    "entries", [None, 7, ["x"], [{}], [{"session": 1}], [{"session": "x" * 36, "used_bytes": "many"}]]
)
def test_odd_reports_change_nothing(
    operator: User, node: Node, entries: Any, seen: SessionsSeen, sent: list[Any]
) -> None:
    make(operator, node)
    sessions_reported("spark-1", entries, seen)
    assert ToolSession.objects.get().used_bytes is None
    assert sent == []


def test_odd_figures_and_words_of_a_node_are_left_out(operator: User, node: Node, seen: SessionsSeen) -> None:
    session = make(operator, node)
    sessions_reported("spark-1", [{"session": session.uid, "used_bytes": -1}], seen)
    note = "a\0b\ud800" + "x" * 999
    tool_session_ready("spark-1", {"session": session.uid, "workspace": "zfs", "note": note})
    row = ToolSession.objects.get()
    assert (row.used_bytes, row.workspace, len(row.workspace_note)) == (None, "", 300)
