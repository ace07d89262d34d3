"""Requests to the archive process: done one by one, once at least, with their end told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from sparkweb.accounts.actor import Actor
from sparkweb.accounts.models import AuditEntry, User
from transcripts_app.importing import requests
from transcripts_app.importing.requests import Job, RequestRefused, handler, request_next
from transcripts_app.importing.writer import Writer
from transcripts_app.models import ArchiveRequest
from transcripts_app.requests import request_json, request_make

Do = Callable[[], bool]


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Handlers of this test alone."""
    known: dict[str, Any] = {}
    monkeypatch.setattr(requests, "_HANDLERS", known)
    return known


@pytest.fixture
def do(archive: Path) -> Iterator[Do]:
    with Writer(archive) as writer:
        yield lambda: request_next(writer)


def _ask(admin: User, kind: str = "count", **payload: Any) -> ArchiveRequest:
    return request_make(kind=kind, payload=payload, actor=Actor(admin, "admin", "page"))


def test_it_is_done_with_its_result_and_an_audit_entry(do: Do, admin: User, handlers: dict[str, Any]) -> None:
    @handler("count")
    def count(job: Job) -> dict[str, Any]:
        job.progress(1, 4, "counting")
        assert ArchiveRequest.objects.get().percent == 25
        return {"of": job.payload["what"], "by": job.requested_by}

    request = _ask(admin, what="beans")
    assert request.live
    assert do()
    request.refresh_from_db()
    assert (request.state, request.result) == ("done", {"of": "beans", "by": "admin"})
    assert not do()
    assert AuditEntry.objects.get(action="archive_count").actor == admin
    assert request_json(request)["ended_at"] is not None


def test_oldest_first_and_none_before_its_time(do: Do, admin: User, handlers: dict[str, Any]) -> None:
    seen: list[str] = []
    handler("count")(lambda job: seen.append(job.payload["what"]))
    actor = Actor(admin, "admin", "page")
    request_make(
        kind="count", payload={"what": "later"}, actor=actor, due_at=timezone.now() + timedelta(days=7)
    )
    for what in ("one", "two"):
        _ask(admin, what=what)
    while do():
        pass
    assert seen == ["one", "two"]


@pytest.mark.parametrize(
    ("error", "told"),
    [(RequestRefused("No such session."), "No such session."), (KeyError("x"), "It failed: KeyError: 'x'")],
)
def test_a_failure_is_told_and_the_next_one_is_done(
    do: Do, admin: User, handlers: dict[str, Any], error: Exception, told: str
) -> None:
    @handler("fail")
    def fail(job: Job) -> None:
        raise error

    handler("count")(lambda job: None)
    first, second = _ask(admin, "fail"), _ask(admin)
    assert do()
    assert do()
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, first.error, second.state) == ("failed", told, "done")


def test_what_nothing_does_fails(do: Do, admin: User, handlers: dict[str, Any]) -> None:
    request = _ask(admin, "unheard")
    assert do()
    request.refresh_from_db()
    assert request.error == "Nothing in this version of SparkWeb does unheard."


def test_what_a_killed_process_left_is_done_again_but_not_for_ever(
    do: Do, admin: User, handlers: dict[str, Any]
) -> None:
    done: list[int] = []
    handler("count")(lambda job: done.append(job.id))
    request = _ask(admin)
    ArchiveRequest.objects.update(state="running", tries=2)
    assert do()
    assert done == [request.pk]
    ArchiveRequest.objects.update(state="running", tries=3, ended_at=None)
    assert do()
    request.refresh_from_db()
    assert request.error == "The archive process ended 3 times while it did this."
    assert done == [request.pk]


def test_two_handlers_of_one_kind_are_a_mistake(handlers: dict[str, Any]) -> None:
    handler("count")(lambda job: None)
    with pytest.raises(ValueError, match="two handlers for count"):
        handler("count")(lambda job: None)
