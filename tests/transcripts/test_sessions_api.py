"""Projects, sessions, records and files over the API: what they tell, to whom, in pages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from sparkweb.accounts.models import User
from tests.support.claude_code import Transcript
from tests.support.page_transcripts import transcripts_seed
from transcripts_app.archive.models import Project, Record, Session
from transcripts_app.importing.ledger import Count
from transcripts_app.models import ProjectAccess, Visibility

Read = Callable[[], Count]
Browser = Callable[..., Client]
API = "/api/transcripts/"


@pytest.fixture
def keys(archive: Path, projects: Path) -> dict[str, str]:
    return transcripts_seed(projects)


@pytest.fixture
def api(bearer: Browser, admin: User) -> Client:
    return bearer(admin, "read")


def got(client: Client, rest: str) -> Any:
    answer = client.get(API + rest)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_sessions_are_filtered_sorted_and_paged(keys: dict[str, str], api: Client) -> None:
    everything = got(api, "sessions")
    assert everything["count"] == 10
    assert got(api, "sessions?warmups=true")["count"] == 11
    assert [one["key"] for one in got(api, "sessions?text=poem")["results"]] == [keys["rewound"]]
    assert got(api, "sessions?sort=tokens")["results"][0]["key"] == keys["long"]
    assert got(api, "sessions?branch=basket")["count"] == 2
    first = got(api, "sessions?page_size=4")
    second = got(api, "sessions?page_size=4&page=2")
    assert len(first["results"]) == len(second["results"]) == 4
    assert {one["key"] for one in first["results"]}.isdisjoint(one["key"] for one in second["results"])


def test_a_session_tells_all_its_figures(keys: dict[str, str], api: Client) -> None:
    row = Session.objects.get(key=keys["tools"])
    told = got(api, f"sessions/{row.key}")
    assert told["title"] == "The basket counts pieces, not lines"
    assert told["branch"] == "fix/basket-count"
    assert told["tokens"] == (
        row.input_tokens + row.output_tokens + row.cache_read_tokens + row.cache_write_5m_tokens
        + row.cache_write_1h_tokens
    )  # fmt: skip
    assert told["project"]["path"] == "/home/ada/web-site"
    assert got(api, f"sessions/{keys['fork']}")["forked_from"] == keys["tools"]


@pytest.mark.parametrize("query", ["outcome=x", "sort=x", "mark=x", "since=x", "text=%00"])
def test_filters_that_make_no_sense_are_named(archive: Path, api: Client, query: str) -> None:
    answer = api.get(f"{API}sessions?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["error"] + str(answer.json())


def test_records_come_in_pages_to_the_end(keys: dict[str, str], api: Client) -> None:
    where = f"sessions/{keys['long']}/records?limit=500"
    seen, page = list[int](), got(api, where)
    while True:
        seen += [one["id"] for one in page["results"]]
        if page["next_after"] is None:
            break
        page = got(api, f"{where}&after={page['next_after']}")
    rows = Record.objects.filter(session__key=keys["long"])
    assert seen == list(rows.order_by("file", "line").values_list("pk", flat=True))


def test_records_as_fields_text_and_raw(read: Read, projects: Path, api: Client) -> None:
    one = Transcript(projects)
    one.prompt("Count \ud800 the basket")
    one.result(one.call("Bash", command="wc -l basket.py"), "12 basket.py")
    one.write()
    read()
    key = Session.objects.get().key
    fields, texts, raws = (
        got(api, f"sessions/{key}/records?form={form}")["results"] for form in ("fields", "text", "raw")
    )
    assert [one["kind"] for one in fields] == ["prompt", "tool_call", "tool_result"]
    assert [one["text"] for one in fields] == [None, None, None]
    assert texts[1]["text"] == "Bash\nwc -l basket.py"
    assert texts[2]["text"] == "12 basket.py"
    assert "\ud800" not in texts[0]["text"]
    assert raws[2]["raw"]["toolUseResult"] == "12 basket.py"
    record = fields[2]
    whole = got(api, f"sessions/{key}/records/{record['uuid']}")
    assert whole["text"] == "12 basket.py"
    assert whole["raw"] == raws[2]["raw"]
    line = api.get(f"{API}sessions/{key}/records/{record['id']}/raw")
    assert line.content == one.path.read_bytes().splitlines()[2]


@pytest.mark.parametrize(
    "query", ["form=x", "limit=0", "limit=501", "limit=x", "file=x", "after=x", "after=1:2"]
)
def test_a_page_of_records_that_makes_no_sense(keys: dict[str, str], api: Client, query: str) -> None:
    assert api.get(f"{API}sessions/{keys['tools']}/records?{query}").status_code == 400


def test_files_are_given_as_they_were(keys: dict[str, str], projects: Path, api: Client) -> None:
    for name in ("agents", "broken"):
        files = got(api, f"sessions/{keys[name]}/files")
        assert {one["role"] for one in files} >= {"session"}
        for one in files:
            if one["role"] in ("session", "agent"):
                answer = api.get(one["url"])
                assert b"".join(answer.streaming_content) == (projects / one["path"]).read_bytes()  # type: ignore[attr-defined]
                assert answer["Content-Disposition"].startswith("attachment")
    assert api.get(f"{API}sessions/{keys['agents']}/files/999999").status_code == 404


def test_projects_with_their_sums(keys: dict[str, str], api: Client) -> None:
    rows = got(api, "projects")
    shop = next(row for row in rows if row["project"]["path"] == "/home/ada/shop")
    assert shop["figures"]["sessions"] == 3
    assert shop["figures"]["warmups"] == 1
    assert got(api, f"projects/{shop['project']['key']}") == shop
    assert [row["project"]["name"] for row in got(api, "projects?text=notes")] == ["notes"]


def test_who_may_see_what(
    keys: dict[str, str], bearer: Browser, viewer: User, operator: User, api: Client
) -> None:
    row = Session.objects.get(key=keys["compacted"])
    record = Record.objects.filter(session=row).first()
    file = row.files.first()
    assert record is not None
    assert file is not None
    places = [f"sessions/{row.key}{rest}" for rest in (
        "", "/records", f"/records/{record.pk}", f"/records/{record.pk}/raw", "/files", f"/files/{file.pk}",
    )] + [f"projects/{row.project.key}"]  # fmt: skip
    strangers = [bearer(viewer, "read"), bearer(operator, "read", "operate")]
    for client in strangers:
        assert got(client, "sessions")["count"] == 0
        assert got(client, "projects") == []
        assert [client.get(API + place).status_code for place in places] == [404] * len(places)
    ProjectAccess.objects.create(
        project_key=Project.objects.get(pk=row.project_id).key, owner=operator, visibility=Visibility.ALL
    )
    for client in [*strangers, api]:
        assert [client.get(API + place).status_code for place in places] == [200] * len(places)
    assert got(strangers[0], "sessions")["count"] == 2
    for method in ("post", "put", "patch", "delete"):
        assert getattr(api, method)(API + places[0]).status_code in (403, 405)
