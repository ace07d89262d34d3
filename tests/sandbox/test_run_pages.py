"""The list of runs and a run beside the one it repeats: own runs alone, filters, pages, differences."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from metrics_app.models import Node
from sandbox_app import selectors_run_list
from sandbox_app.exceptions import ToolForbidden
from sandbox_app.models import Outcome, RunState, Tool, ToolRun, ToolSession
from sandbox_app.observing import tool_run_ended
from sandbox_app.run_compare import LINES_MOST, facts_compare, lines_compare
from sandbox_app.selectors_run_list import RunListFilter, run_page
from sandbox_app.services import tool_run_create, tool_run_replay
from sparkweb.accounts.actor import Actor
from sparkweb.accounts.models import User
from tests.factories import UserFactory
from tests.sandbox.conftest import ending

Clients = Callable[[User | None], Client]


def run_make(user: User, uid: int, **fields: Any) -> ToolRun:
    known: dict[str, Any] = {
        "uid": f"{uid:016x}", "user": user, "user_label": user.username,
        "tool_name": "code", "tool_digest": "d",
        "via": "page", "node_name": "spark-1", "state": RunState.ENDED, "live": False,
        "outcome": Outcome.OK,
    }  # fmt: skip
    return ToolRun.objects.create(**(known | fields))


def uids(visitor: User, **wanted: Any) -> list[int]:
    actor = Actor(visitor, visitor.username, "page")
    return [int(run.uid, 16) for run in run_page(actor, RunListFilter(**wanted)).runs]


@pytest.fixture
def runs(operator: User, admin: User) -> None:
    session = ToolSession.objects.create(
        uid="5b1c4a8e-0000-4000-8000-000000000001", owner=operator, node_name="spark-1",
        expires_at=timezone.now() + timedelta(hours=1),
    )  # fmt: skip
    run_make(operator, 1, arguments={"code": "print('Gänse')"}, session=session)
    run_make(operator, 2, outcome=Outcome.WALL, reason="30 s were over", tool_name="bash", via="mcp")
    run_make(operator, 3, outcome="", state=RunState.RUNNING, live=True, node_name="spark-2")
    run_make(admin, 4, outcome=Outcome.CANCELLED, user_label="admin (key sw_abc…)", stdout="needle here")
    run_make(admin, 5, outcome="", state=RunState.APPROVAL, live=True)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [5, 4, 3, 2, 1]),
        ({"tool": "bash"}, [2]),
        ({"outcome": "live"}, [5, 3]),
        ({"outcome": "failed"}, [2]),
        ({"outcome": "approval"}, [5]),
        ({"outcome": "cancelled"}, [4]),
        ({"user": "admin"}, [5, 4]),
        ({"user": "operator", "via": "mcp"}, [2]),
        ({"node": "spark-2"}, [3]),
        ({"session": "5b1c4a8e-0000-4000-8000-000000000001"}, [1]),
        ({"text": "gänse"}, [1]),
        ({"text": "NEEDLE"}, [4]),
        ({"text": "30 s"}, [2]),
        ({"text": "000000000000000"}, [5, 4, 3, 2, 1]),
        ({"text": "%"}, []),
    ],
)
def test_filters(runs: None, admin: User, wanted: dict[str, Any], found: list[int]) -> None:
    assert uids(admin, **wanted) == found


@pytest.mark.django_db
def test_others_see_their_own_and_operators_what_waits(runs: None, operator: User, viewer: User) -> None:
    assert uids(operator) == [5, 3, 2, 1]
    assert uids(viewer) == []


@pytest.mark.django_db
def test_pages_and_search_go_back(runs: None, admin: User, monkeypatch: pytest.MonkeyPatch) -> None:
    actor = Actor(admin, "admin", "page")
    first = run_page(actor, RunListFilter(), 2)
    second = run_page(actor, RunListFilter(before=first.next_before), 2)
    last = run_page(actor, RunListFilter(before=second.next_before), 2)
    found = [int(run.uid, 16) for page in (first, second, last) for run in page.runs]
    assert (found, last.next_before) == ([5, 4, 3, 2, 1], None)
    monkeypatch.setattr(selectors_run_list, "TEXT_SCAN_ROWS", 3)
    stopped = run_page(actor, RunListFilter(text="Gänse"))
    assert stopped.runs == [] and stopped.searched_to is not None
    further = run_page(actor, RunListFilter(text="Gänse", before=stopped.next_before))
    assert [int(run.uid, 16) for run in further.runs] == [1]


@pytest.mark.django_db
def test_pages_show_escape_and_bear_odd_filters(
    runs: None, client_of: Clients, admin: User, viewer: User
) -> None:
    run_make(admin, 9, arguments={"code": "<script>alert(1)</script>"}, reason="<b>")
    browser = client_of(admin)
    page = browser.get("/tools/runs/").content.decode()
    assert "&lt;script&gt;alert" in page and "<script>alert" not in page
    assert "Nothing was run yet" in client_of(viewer).get("/tools/runs/").content.decode()
    assert "No run matches" in browser.get("/tools/runs/?tool=none").content.decode()
    for query in ("session=x", "before=0", "since=never", "text=%00", "via=odd", "user=%00", "outcome=odd"):
        assert browser.get(f"/tools/runs/?{query}").status_code == 200


@pytest.mark.django_db
def test_compare_shows_what_differs_to_those_who_may_see_both(
    client_of: Clients, operator: User, viewer: User, admin: User
) -> None:
    before = run_make(
        operator, 1, stdout="one\ntwo\n<b>", limits={"memory_bytes": 1}, image_digest="sha256:a"
    )
    again = run_make(operator, 2, replay_of=before, stdout="one\n2\n<b>", limits={"memory_bytes": 2},
                     image_digest="sha256:b")  # fmt: skip
    page = client_of(operator).get(f"/tools/runs/{again.uid}/compare/").content.decode()
    assert "limits.memory_bytes" in page and "sha256:b" in page and "&lt;b&gt;" in page
    assert "diff-changed" in page
    assert client_of(viewer).get(f"/tools/runs/{again.uid}/compare/").status_code == 404
    foreign = run_make(admin, 3)
    assert client_of(operator).get(f"/tools/runs/{again.uid}/compare/?with={foreign.uid}").status_code == 404
    assert (
        "still do the same" in client_of(operator).get(f"/tools/runs/{before.uid}/compare/").content.decode()
    )
    same = run_make(operator, 4, replay_of=before, stdout=before.stdout, limits=before.limits,
                    image_digest="sha256:a")  # fmt: skip
    same_page = client_of(operator).get(f"/tools/runs/{same.uid}/compare/")
    told = same_page.content.decode()
    assert "Both printed the same, under the same limits, from the same image" in told


@pytest.mark.django_db
def test_what_turns_text_around_is_written_out(client_of: Clients, operator: User) -> None:
    before = run_make(operator, 1, stdout="a\u202eb\x1b[31m", arguments={"x": "\u202e"})
    again = run_make(operator, 2, replay_of=before, stdout="c")
    for path in (f"/tools/runs/{again.uid}/compare/", "/tools/runs/"):
        page = client_of(operator).get(path).content.decode()
        assert "\u202e" not in page and "⟨U+202E⟩" in page


@pytest.mark.django_db
def test_entries_are_linked_from_a_run_for_those_who_may_read_them(
    tool: Tool, node: Node, someone: Actor, told: Any, nudges: Any, frames: Any, client_of: Clients,
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    tool.approval = True
    tool.save()
    run, _ = tool_run_create(tool=tool, arguments={"code": "1"}, actor=someone, via="page")
    other = UserFactory(username="other", role="operator")
    assert "/tools/audit/1/" in client_of(someone.user).get(f"/tools/runs/{run.uid}/").content.decode()
    assert "/tools/audit/1/" not in client_of(other).get(f"/tools/runs/{run.uid}/").content.decode()


@pytest.mark.django_db
def test_run_again_from_its_page(
    tool: Tool, node: Node, someone: Actor, told: Any, nudges: Any, frames: Any, client_of: Clients,
    viewer: User, admin: User, django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    run, _ = tool_run_create(tool=tool, arguments={"code": "print(1)"}, actor=someone, via="page")
    tool_run_ended("spark-1", ending(run, stdout="1\n"))
    assert someone.user is not None
    with django_capture_on_commit_callbacks(execute=True):
        answer = client_of(someone.user).post(f"/tools/runs/{run.uid}/again/")
    again = ToolRun.objects.get(replay_of=run)
    assert answer["Location"] == f"/tools/runs/{again.uid}/compare/"
    assert "It has not ended yet" in client_of(someone.user).get(answer["Location"]).content.decode()
    tool_run_ended("spark-1", ending(again, stdout="2\n"))
    assert "diff-changed" in client_of(someone.user).get(answer["Location"]).content.decode()
    assert client_of(viewer).post(f"/tools/runs/{run.uid}/again/").status_code == 404
    with pytest.raises(ToolForbidden):
        tool_run_replay(run=run, actor=Actor(viewer, "viewer", "page"), via="page")
    Tool.objects.update(enabled=False)
    refused = client_of(admin).post(f"/tools/runs/{run.uid}/again/", follow=True)
    assert "is switched off" in refused.content.decode()


# Comparing lines ----------------------------------------------------------------------


def test_long_stretches_that_are_the_same_are_folded() -> None:
    left = [str(n) for n in range(100)]
    right = [*left[:50], "new", *left[50:]]
    rows = lines_compare("\n".join(left), "\n".join(right))
    assert [row.kind for row in rows] == ["gap", "same", "same", "same", "new", "same", "same", "same", "gap"]
    assert rows[4].right == "new" and rows[4].right_number == 51 and rows[4].left_number is None
    assert lines_compare("", "") == []


def test_huge_outputs_are_cut() -> None:
    rows = lines_compare("\n".join("a" * 9_000 for _ in range(5_000)), "")
    assert len(rows) == LINES_MOST + 1
    assert len(rows[0].left) == 2_000


LINES = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=30).map("\n".join)


@given(LINES, LINES)
@settings_of(deadline=None)
def test_both_sides_can_be_read_back(left: str, right: str) -> None:
    rows = lines_compare(left, right, context=10_000)
    assert [row.left for row in rows if row.left_number] == left.splitlines()
    assert [row.right for row in rows if row.right_number] == right.splitlines()
    assert all(row.left == row.right for row in rows if row.kind == "same")


def test_facts_differ_by_name() -> None:
    found = facts_compare({"a": {"b": 1, "c": None}, "d": "x"}, {"a": {"b": 2}, "e": [1]})
    assert [(one.name, one.left, one.right) for one in found] == [
        ("a.b", "1", "2"),
        ("d", "x", "–"),
        ("e", "–", "[1]"),
    ]
