"""Self-tests asked for, carried out with a bench that is played, ended once; the page that shows them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from kombu.exceptions import OperationalError

from metrics_app.models import Node, NodeStatus
from sandbox_app import tasks
from sandbox_app.exceptions import ToolRefused
from sandbox_app.models import SelfTest
from sandbox_app.selftest import services
from sandbox_app.selftest.programs_read import programs_read
from sandbox_app.selftest.suite import Row
from sparkweb.accounts.actor import Actor
from sparkweb.accounts.models import User

pytestmark = pytest.mark.django_db(transaction=True)
HELD = Row(1, "fork bomb", "pids", "pids: enough", "held")


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the suite tells; an exception breaks it off."""
    told: list[Any] = [HELD]

    def play(_node: Node, _actor: Actor) -> Iterator[Row]:
        for row in told:
            if isinstance(row, Exception):
                raise row
            yield row

    monkeypatch.setattr(services, "rows_of", play)
    monkeypatch.setattr(services, "leaked", lambda _: 0)
    return told


def begun(node: Node, user: User) -> SelfTest:
    return services.selftest_create(node=node, actor=Actor(user, user.username, "page"))[0]


@pytest.mark.parametrize(
    ("more", "left", "state"),
    [
        ([], 0, "held"),
        ([Row(2, "all memory", "memory", "ok: it had more", "failed")], 0, "broken"),
        ([], 2, "broken"),
        ([RuntimeError("a bug")], 0, "failed"),
    ],
)
def test_its_end_says_whether_the_wall_held(
    node: Node,
    admin: User,
    rows: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    more: list[Any],
    left: int,
    state: str,
) -> None:
    rows.extend(more)
    monkeypatch.setattr(services, "leaked", lambda _: left)
    test = services.selftest_run(begun(node, admin))
    test.refresh_from_db()
    assert (test.state, test.rows[0]["name"], test.ended_at is not None) == (state, "fork bomb", True)


def test_one_of_a_node_at_a_time_and_none_that_stands_still(node: Node, admin: User, rows: list[Any]) -> None:
    first = begun(node, admin)
    assert begun(node, admin) == first
    SelfTest.objects.update(moved_at=timezone.now() - timedelta(hours=1))
    assert begun(node, admin) != first
    first.refresh_from_db()
    assert (first.state, first.reason) == ("failed", "Control was ended while it ran.")


def test_a_node_that_is_away_and_nobody_are_refused(node: Node, admin: User) -> None:
    with pytest.raises(ToolRefused, match="made for a user"):
        services.selftest_create(node=node, actor=Actor(None, "system", "system"))
    Node.objects.update(status=NodeStatus.OFFLINE)
    node.refresh_from_db()
    with pytest.raises(ToolRefused, match="not online"):
        begun(node, admin)


def test_the_page_begins_one_and_shows_its_rows(
    client: Client, node: Node, admin: User, rows: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(tasks.selftest_carry_out, "apply_async", lambda words, **_: sent.append(words))
    client.force_login(admin)
    assert "Not attacked yet" in client.get("/tools/selftest/").content.decode()
    assert client.post("/tools/selftest/start/", {"node": "spark-1"}).status_code == 204
    tasks.selftest_carry_out(*sent[0])
    tasks.selftest_carry_out(*sent[0])  # delivered twice
    page = client.get("/tools/selftest/list/").content.decode()
    assert page.count("fork bomb") == 1
    assert "The wall held" in page


def test_redis_away_is_said_and_leaves_none_under_way(
    client: Client, node: Node, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(tasks.selftest_carry_out, "apply_async", away)
    client.force_login(admin)
    answer = client.post("/tools/selftest/start/", {"node": "spark-1"})
    assert (answer.status_code, "Redis does not answer" in answer.content.decode()) == (409, True)
    assert SelfTest.objects.get().state == "failed"


def test_every_program_says_how_it_may_end() -> None:
    for program in programs_read():
        assert program.outcomes and program.code.strip(), program.name
        compile(program.code, program.name, "exec")
