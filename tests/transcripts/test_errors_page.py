"""The error atlas: failures across projects, grouped, with what followed, on page and API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from sparkweb.accounts.models import User
from tests.support.insight_data import HOSTILE, Told, insight_transcripts
from transcripts_app.archive.models import Project
from transcripts_app.models import ProjectAccess
from transcripts_app.selectors_errors import ErrorFilter, atlas_read, followed_read

Clients = Callable[[User | None], Client]
Read = Callable[[], Any]


@pytest.fixture
def failed(read: Read, projects: Path) -> None:
    insight_transcripts(projects)
    other = Told(projects, cwd="/home/ada/kiosk")
    other.prompt("Run it")
    other.fails("Bash", "Exit code 9", command="run")
    other.said("No.")
    other.write()
    read()


def test_failures_that_say_the_same_are_one(failed: None, admin: User) -> None:
    atlas = atlas_read(admin, ErrorFilter())
    groups = {group.message: group for group in atlas.groups}
    exits = groups["Exit code ‹n›"]
    assert (exits.count, len(exits.sessions), exits.tools["Bash"]) == (3, 3, 3)
    assert groups["String to replace not found in file."].count == 1
    assert groups["API Error: ‹n› Overloaded"].kind == "api"
    assert atlas.total == 6 and atlas.sessions == 3
    assert {project.name for project in atlas.projects} == {"shop", "kiosk"}


def test_filters(failed: None, admin: User) -> None:
    kiosk = Project.objects.get(name="kiosk").key

    def total(**wanted: Any) -> int:
        return atlas_read(admin, ErrorFilter(**wanted)).total

    assert (total(kind="api"), total(kind="tool")) == (1, 5)
    assert (total(tool="Edit"), total(project=kiosk), total(text="EXIT"), total(text="zzz")) == (1, 1, 4, 0)
    assert (total(model="<synthetic>"), total(project="nope"), total(days=1)) == (1, 0, 0)


def test_what_followed(failed: None, admin: User) -> None:
    atlas = atlas_read(admin, ErrorFilter())
    by_message = {one.message: one for group in atlas.groups for one in group.newest}
    followed = followed_read(list(by_message.values()))

    def after(message: str) -> tuple[bool, int | None]:
        one = by_message[message]
        told = followed[one.kind, one.id]
        return told.is_retried, told.turns

    assert after("Exit code 1") == (True, 1)  # pytest, then pytest -q
    assert after("String to replace not found in file.") == (True, 1)
    assert after("Exit code 9") == (False, None)
    assert after("Exit code 127") == (False, None)
    assert after(f"Exit code 2 at {HOSTILE}") == (True, None)  # tried again, failed again
    assert after("API Error: 529 Overloaded") == (True, 1)


def test_the_page(failed: None, client_of: Clients, admin: User) -> None:
    client = client_of(admin)
    page = client.get("/transcripts/errors/").content.decode()
    assert "Exit code ‹n›" in page and "kiosk" in page and "1 of 3 tried again, 1 worked" in page
    assert "<img src=x" not in page
    key = next(
        group.key for group in atlas_read(admin, ErrorFilter()).groups if "Exit code ‹n› at" in group.message
    )
    one = client.get(f"/transcripts/errors/{key}/").content.decode()
    assert "&lt;img src=x" in one and "<img src=x" not in one and "tried again, never worked" in one
    assert "No failure matches" in client.get("/transcripts/errors/?text=zzz").content.decode()
    assert client.get("/transcripts/errors/0123456789abcdef/").status_code == 404


def test_the_api(failed: None, client_of: Clients, admin: User) -> None:
    client = client_of(admin)
    told = client.get("/api/transcripts/errors?tool=Bash").json()
    assert (told["total"], told["sessions"]) == (4, 3)
    group = told["groups"][0]
    one = client.get(f"/api/transcripts/errors/{group['key']}?tool=Bash").json()
    assert one["followed"] == {"looked": 3, "retried": 1, "worked": 1, "turns": 1}
    assert {each["worked_after"] for each in one["occurrences"]} == {1, None}
    assert client.get("/api/transcripts/errors?days=x").status_code == 400
    assert client.get("/api/transcripts/errors/0123456789abcdef").status_code == 404


def test_only_what_may_be_seen_counts(
    failed: None, client_of: Clients, operator: User, viewer: User, admin: User
) -> None:
    ProjectAccess.objects.create(project_key=Project.objects.get(name="kiosk").key, owner=operator)
    assert client_of(operator).get("/api/transcripts/errors").json()["total"] == 1
    assert client_of(viewer).get("/api/transcripts/errors").json()["total"] == 0
    assert "Nothing failed" in client_of(viewer).get("/transcripts/errors/").content.decode()
    hidden = next(group for group in atlas_read(admin, ErrorFilter()).groups if group.kind == "api")
    assert client_of(operator).get(f"/transcripts/errors/{hidden.key}/").status_code == 404
    shop = Project.objects.get(name="shop").key
    page = client_of(operator).get(f"/transcripts/errors/?project={shop}").content.decode()
    assert "/home/ada/shop" not in page and ">shop<" not in page


@pytest.mark.parametrize(
    "query", ["days=-1", "kind=odd", "text=%00", "tool=" + "x" * 300, "page=99999", "page=x"]
)
def test_odd_filters_break_nothing(failed: None, client_of: Clients, admin: User, query: str) -> None:
    assert client_of(admin).get(f"/transcripts/errors/?{query}").status_code == 200
    assert client_of(admin).get(f"/api/transcripts/errors?{query}").status_code in (200, 400)


def test_failures_are_found_by_their_indexes(archive: Path) -> None:
    """A scan of every call or record would take seconds on 5,000 sessions."""
    with connections["archive"].cursor() as cursor:
        for query in (
            "SELECT id FROM archive_toolcall WHERE is_error",
            "SELECT id FROM archive_record WHERE is_error AND subtype = %s AND copy_of IS NULL",
        ):
            cursor.execute("EXPLAIN QUERY PLAN " + query, ["api_error"] if "%s" in query else [])
            plan = " ".join(str(row[3]) for row in cursor.fetchall())
            assert "USING INDEX" in plan or "USING COVERING INDEX" in plan, plan
