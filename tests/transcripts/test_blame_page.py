"""Blame: from a path and a line to the prompt that wrote it, on page and API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from sparkweb.accounts.models import User
from tests.support.claude_code import BEGIN
from tests.support.insight_data import FILE, HOSTILE, START, TESTS, Told, insight_transcripts
from transcripts_app.archive.models import Project, Record
from transcripts_app.insight_masks import Masks
from transcripts_app.models import ProjectAccess
from transcripts_app.selectors_blame import file_blame, paths_like, prompt_of

Clients = Callable[[User | None], Client]
Read = Callable[[], Any]


@pytest.fixture
def written(read: Read, projects: Path) -> tuple[Told, Told, Told]:
    sessions = insight_transcripts(projects)
    read()
    return sessions


def test_each_line_leads_to_its_prompt(written: object, admin: User) -> None:
    blame = file_blame(admin, FILE)
    assert blame is not None and (blame.node, blame.sessions) == ("spark-1", 2)
    # The newest session found the file as it was at first, so what came between is gone from it.
    owners = {one.row.text: one.origin for one in blame.lines}
    assert owners["class Basket:"] is None
    mine = owners[f"    word = '{HOSTILE}'"]
    assert mine is not None
    prompt = prompt_of(mine.record)
    assert prompt is not None and prompt.preview == f"Say {HOSTILE} in the basket"


def test_a_text_that_is_gone_is_found_too(written: object, admin: User) -> None:
    blame = file_blame(admin, FILE, text="def take_out")
    assert blame is not None and len(blame.answers) == 1
    answer = blame.answers[0]
    assert answer.prompt is not None and answer.prompt.preview == "Add a method that removes an item"
    blame = file_blame(admin, FILE, text="def total(self):\n        return")
    assert blame is not None and [one.prompt.preview for one in blame.answers if one.prompt] == [
        "Rather add a total"
    ]
    nothing = file_blame(admin, FILE, text="never written")
    assert nothing is not None and nothing.answers == []


def test_the_newest_of_several_sessions_wins(read: Read, projects: Path, admin: User) -> None:
    first, second = Told(projects), Told(projects, begin=BEGIN.replace(day=5))
    first.prompt("First")
    text = first.edits(FILE, START, "len(self.items) + 1", "len(self.items)")
    second.prompt("Second")
    second.edits(FILE, text, "return len(self.items)", "return sum(1 for _ in self.items)")
    second.write()
    first.write()
    read()
    blame = file_blame(admin, FILE, line=9)
    assert blame is not None
    assert [one.prompt.preview for one in blame.answers if one.prompt] == ["Second"]


def test_what_a_sub_agent_wrote_leads_to_the_persons_prompt(written: object, admin: User) -> None:
    blame = file_blame(admin, TESTS, line=1)
    assert blame is not None
    (answer,) = blame.answers
    assert answer.call.record.is_sidechain
    assert answer.prompt is not None and answer.prompt.preview == "Rather add a total"


def test_other_nodes_files_of_the_same_name_are_others(written: object, admin: User, archive: Path) -> None:
    assert file_blame(admin, FILE, node="spark-9") is not None  # falls back to the one that has it
    assert file_blame(admin, "/home/ada/shop/none.py") is None
    assert paths_like(admin, "basket", Masks(admin)) == [FILE, "/home/ada/shop/basket.rs", TESTS]
    assert paths_like(admin, "100%_", Masks(admin)) == []


def test_the_page(written: object, client_of: Clients, admin: User) -> None:
    client = client_of(admin)
    page = client.get("/transcripts/blame/").content.decode()
    assert FILE in page and TESTS in page
    page = client.get(f"/transcripts/blame/?path={FILE}&line=2").content.decode()
    assert "blame-prompt" in page and "is-wanted" in page
    assert "&lt;img src=x" in page and "<img src=x" not in page
    page = client.get(f"/transcripts/blame/?path={FILE}&line=1").content.decode()
    assert "No change that is known wrote line 1" in page and "not known" in page
    page = client.get("/transcripts/blame/?path=basket").content.decode()
    assert "No session changed that file" in page and TESTS in page
    options = client.get("/transcripts/blame/paths/?path=basket.r").content.decode()
    assert options.strip() == '<option value="/home/ada/shop/basket.rs"></option>'


def test_the_api(written: object, client_of: Clients, admin: User) -> None:
    client = client_of(admin)
    told = client.get(f"/api/transcripts/blame?path={TESTS}&line=2").json()
    assert [line["text"] for line in told["lines"]] == ["def test_count():", "    assert True"]
    call = told["lines"][0]["call"]
    assert [one["call"] for one in told["calls"]] == [call] == [one["call"] for one in told["answers"]]
    assert told["answers"][0]["prompt"]["text"] == "Rather add a total"
    assert client.get("/api/transcripts/blame/paths?path=basket.r").json() == {
        "paths": ["/home/ada/shop/basket.rs"]
    }
    assert client.get("/api/transcripts/blame?path=/none").status_code == 404
    assert client.get(f"/api/transcripts/blame?path={FILE}&line=x").status_code == 400


def test_a_stranger_sees_no_path_and_no_line(
    written: object, client_of: Clients, operator: User, viewer: User
) -> None:
    ProjectAccess.objects.create(project_key=Project.objects.get().key, owner=operator)
    assert FILE in client_of(operator).get("/transcripts/blame/").content.decode()
    page = client_of(viewer).get("/transcripts/blame/").content.decode()
    assert "basket" not in page and "No file was changed yet" in page
    page = client_of(viewer).get(f"/transcripts/blame/?path={FILE}&line=2").content.decode()
    assert "No session changed that file" in page and HOSTILE not in page
    assert client_of(viewer).get(f"/api/transcripts/blame?path={FILE}").status_code == 404
    assert client_of(viewer).get("/api/transcripts/blame/paths?path=b").json() == {"paths": []}


@pytest.mark.parametrize(
    "query", ["path=%00", "path=/a%00b&line=1", "line=3", "text=%0A%0A", f"path={FILE}&text=%0A",
              f"path={FILE}&from=9999", f"path={FILE}&line=0", f"path={FILE}&node=%00",
              f"path={FILE}&line=99999999999999999999"]
)  # fmt: skip
def test_odd_questions_break_nothing(written: object, client_of: Clients, admin: User, query: str) -> None:
    assert client_of(admin).get(f"/transcripts/blame/?{query}").status_code == 200
    assert client_of(admin).get(f"/api/transcripts/blame?{query}").status_code in (200, 400, 404)


def test_nothing_stands_before_the_first_record(written: object) -> None:
    first = Record.objects.filter(is_sidechain=False).order_by("file", "line").first()
    assert first is not None and prompt_of(first) is None
