"""Figures and prices on pages and over the API: true, narrowed, and only what the visitor may see."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.corpus_truth import TOKENS, Truth
from bench.transcript_corpus import corpus_make
from sparkweb.accounts.models import AuditEntry, User
from tests.support.claude_code import Transcript
from transcripts_app.archive.models import Session
from transcripts_app.archive.models_figures import Fact
from transcripts_app.figures import cost_words, tokens_words
from transcripts_app.forms_figures import FiguresForm
from transcripts_app.importing.ledger import Count
from transcripts_app.importing.requests import handlers_load, request_next
from transcripts_app.importing.writer import Writer
from transcripts_app.models import ArchiveRequest, ModelPrice, ProjectAccess
from transcripts_app.prices import micros

Read = Callable[[], Count]
ClientOf = Callable[..., Client]
FIGURES, PRICES = "/api/transcripts/figures", "/api/transcripts/prices"
DAY = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
OPUS = 10 * 5 + 20 * 25 + 1000 * 0.5 + 10 * 6.25 + 20 * 10
"""Micro-dollars of one answer of tests.support.claude_code, by Opus 4.5."""


@pytest.fixture
def talks(read: Read, projects: Path, viewer: User) -> Read:
    """Two projects: the shop, which `viewer` owns, and the site, which nobody does."""
    shop = Transcript(projects, "/home/ada/shop", begin=DAY)
    shop.prompt("Count")
    shop.result(shop.call("Edit", file_path="/home/ada/shop/a.py", old_string="a", new_string="b\nc"), "ok")
    shop.result(shop.call("Bash", command="false"), "no", error=True)
    shop.answer("Done")
    shop.write()
    site = Transcript(projects, "/home/ada/site", begin=DAY.replace(day=5))
    site.branch, site.model = "next", "qwen3-coder:30b"
    site.prompt("Show")
    site.answer("Shown")
    site.write()
    read()
    shop_key = Session.objects.get(project__name="shop").project.key
    ProjectAccess.objects.create(project_key=shop_key, owner=viewer)
    return read


def _rows(client: Client, by: str, **asked: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in client.get(FIGURES, {"by": by, **asked}).json()["rows"]}


def test_sums_and_rows_equal_the_truth_of_a_corpus(
    read: Read, projects: Path, client_of: ClientOf, admin: User
) -> None:
    truth = corpus_make(projects, 1.2, seed=11)
    read()
    client = client_of(admin)
    told = client.get(FIGURES).json()["total"]
    assert [told[name] for name in TOKENS] == truth.tokens
    assert (told["responses"], told["sessions"]) == (truth.responses, _with_responses(truth))
    assert told["tool_calls"] == sum(calls for calls, _ in truth.tools.values())
    assert told["tool_errors"] == sum(errors for _, errors in truth.tools.values())
    assert told["lines_added"] == sum(one.lines_added for one in truth.sessions.values())
    assert told["files_touched"] == len({path for one in truth.sessions.values() for path in one.paths})
    assert told["prompts"] == sum(one.prompts for one in truth.sessions.values())
    for by, sums in (("model", truth.models), ("branch", truth.branches), ("project", truth.projects)):
        rows = _rows(client, by)
        assert {name: [row[one] for one in TOKENS] for name, row in rows.items()} == sums, by
    days = _rows(client, "day")
    assert {name.replace("-", ""): [row[one] for one in TOKENS] for name, row in days.items()} == truth.days
    tools = _rows(client, "tool")
    assert {name: [row["tool_calls"], row["tool_errors"]] for name, row in tools.items()} == truth.tools
    narrowed = client.get(FIGURES, {"model": "qwen3-coder:30b"}).json()["total"]
    assert [narrowed[name] for name in TOKENS] == truth.models["qwen3-coder:30b"]


def _with_responses(truth: Truth) -> int:
    return sum(1 for one in truth.sessions.values() if any(one.tokens))


def test_filters_combine(talks: Read, client_of: ClientOf, admin: User) -> None:
    client = client_of(admin)

    def total(**asked: str) -> dict[str, Any]:
        return client.get(FIGURES, asked).json()["total"]  # type: ignore[no-any-return]

    assert total()["responses"] == 4
    assert total(since="2026-11-04")["responses"] == 1
    assert total(until="2026-11-04")["responses"] == 3
    assert total(until="2026-11-04", branch="next")["responses"] == 0
    assert total(user="viewer")["responses"] == 3
    assert total(tool="Bash") == total(tool="Bash", model="claude-opus-4-5-20251101")
    assert (total(tool="Bash")["tool_calls"], total(tool="Bash")["lines_added"]) == (1, 0)
    assert (total()["files_touched"], total()["lines_added"], total()["lines_removed"]) == (1, 2, 1)
    share = total()["cache_share"]
    assert share == round(1000 / 1040, 4)
    assert set(_rows(client, "user")) == {"viewer", "(nobody)"}


def test_unknown_prices_are_no_zero(talks: Read, client_of: ClientOf, admin: User) -> None:
    assert Session.objects.get(project__name="shop").cost_micros == micros(int(3 * OPUS * 10**6))
    assert Session.objects.get(project__name="site").cost_micros is None
    client = client_of(admin)
    rows = _rows(client, "model")
    assert rows["qwen3-coder:30b"]["cost_micros"] is None
    assert rows["qwen3-coder:30b"]["why_unpriced"] == {}
    total = client.get(FIGURES).json()["total"]
    assert (total["cost_micros"], total["unpriced"]) == (micros(int(3 * OPUS * 10**6)), 1)
    assert total["why_unpriced"] == {"no price": 1}
    page = client.get("/transcripts/figures/?days=0").content.decode()
    assert "1 response without a price" in page
    assert "no price" in page
    assert "qwen3-coder:30b" in client.get("/transcripts/prices/").content.decode()


def test_a_new_price_changes_every_cost_and_history_stays(
    talks: Read, archive: Path, client_of: ClientOf, admin: User
) -> None:
    client = client_of(admin)
    free = dict.fromkeys(("input", "output", "cache_read", "cache_write_5m", "cache_write_1h"), "0")
    page = client.post("/transcripts/prices/new/", {"pattern": "qwen*"} | free)
    assert page.status_code == 302
    dear = {"pattern": "claude-opus-4-5", "valid_from": "2026-11-04", "input": "50", "output": "250"}
    assert client.post(PRICES, json.dumps(dear), content_type="application/json").status_code == 201
    assert "computed anew" in client.get("/transcripts/prices/").content.decode()
    _requests_do(archive)
    assert Session.objects.get(project__name="site").cost_micros == 0
    # The answers of the 3rd keep the price of their day.
    assert Session.objects.get(project__name="shop").cost_micros == micros(int(3 * OPUS * 10**6))
    assert "computed anew" not in client.get("/transcripts/prices/").content.decode()
    ModelPrice.objects.filter(pattern="claude-opus-4-5", valid_from="2026-11-04").update(
        valid_from="2026-11-03"
    )
    before = Fact.objects.get(name="prices").value
    talks()  # a read begins with new prices
    assert Fact.objects.get(name="prices").value != before
    assert (
        Session.objects.get(project__name="shop").cost_micros is None
    )  # the new row tells no price of the cache
    assert {entry.action for entry in AuditEntry.objects.all()} >= {"price_add"}


def _requests_do(archive: Path) -> None:
    handlers_load()
    with Writer(archive) as writer:
        while request_next(writer):
            pass
    assert set(ArchiveRequest.objects.values_list("state", "error")) == {("done", "")}


def test_a_price_can_be_deleted_by_admins_alone(
    talks: Read, archive: Path, client_of: ClientOf, admin: User, viewer: User
) -> None:
    price = ModelPrice.objects.get(pattern="claude-opus-4-5")
    assert client_of(viewer).delete(f"{PRICES}/{price.pk}").status_code == 403
    assert client_of(viewer).post(f"/transcripts/prices/{price.pk}/delete/").status_code == 403
    assert client_of(admin).delete(f"{PRICES}/{price.pk}").status_code == 204
    _requests_do(archive)
    assert Session.objects.get(project__name="shop").cost_micros is None


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"input": "-1"}, 400), ({"input": "NaN"}, 400), ({"input": "1e30"}, 400), ({"input": ""}, 400),
        ({"pattern": ""}, 400), ({"pattern": "a\0b"}, 400), ({"pattern": "x" * 121}, 400),
        ({"valid_from": "yesterday"}, 400), ({"valid_from": "1999-01-01"}, 400), ({"long_above": -1}, 400),
        ({"pattern": "claude-opus-4-5"}, 409), ({}, 201),
    ],
)  # fmt: skip
def test_prices_that_make_no_sense_are_refused(
    archive: Path, client_of: ClientOf, admin: User, changed: dict[str, Any], status: int
) -> None:
    body = {"pattern": "some-model", "input": "1", "output": "2"} | changed
    answer = client_of(admin).post(PRICES, json.dumps(body), content_type="application/json")
    assert answer.status_code == status, answer.content
    form = {name: str(value) for name, value in body.items()}
    page = client_of(admin).post("/transcripts/prices/new/", form)
    assert page.status_code == 422  # also what the API has just added


def test_a_stranger_sees_nothing_and_an_owner_their_own(
    talks: Read, client_of: ClientOf, viewer: User, operator: User
) -> None:
    mine = client_of(viewer)
    assert mine.get(FIGURES).json()["total"]["responses"] == 3
    page = mine.get("/transcripts/figures/?days=0").content.decode()
    assert "qwen3" not in page
    assert "next" not in page.partition("<form")[2].partition("</form>")[0]
    other = client_of(operator)
    assert other.get(FIGURES).json()["total"]["responses"] == 0
    assert other.get(FIGURES, {"by": "project"}).json()["rows"] == []
    assert "Nothing was read yet" in other.get("/transcripts/figures/?days=0").content.decode()
    assert "qwen3" not in other.get("/transcripts/prices/").content.decode()
    key = Session.objects.get(project__name="site").project.key
    assert mine.get(FIGURES, {"project": key}).json()["total"]["responses"] == 0
    assert "shop" not in other.get("/transcripts/figures/export/?by=project&days=0").content.decode()


def test_files_tell_the_same_rows(talks: Read, client_of: ClientOf, admin: User) -> None:
    client = client_of(admin)
    asked = "?by=model&days=0"
    rows = list(
        csv.DictReader(io.StringIO(client.get(f"/transcripts/figures/export/{asked}").content.decode()))
    )
    assert [row["model"] for row in rows] == ["claude-opus-4-5-20251101", "qwen3-coder:30b"]
    assert rows[1]["cost_dollars"] == rows[1]["cost_micros"] == ""
    assert rows[0]["output_tokens"] == "60"
    told = client.get(f"/transcripts/figures/export/{asked}&format=json").json()
    assert [row["output_tokens"] for row in told["rows"]] == [60, 20]
    assert client.get(f"{FIGURES}.csv{asked}").content.decode().count("\n") == 3
    assert client.get(f"/transcripts/figures/export/{asked}&format=xml").status_code == 404


def test_no_cell_is_a_formula(read: Read, projects: Path, client_of: ClientOf, admin: User) -> None:
    talk = Transcript(projects)
    talk.branch = "=HYPERLINK(1)"
    talk.answer("x")
    talk.write()
    read()
    told = client_of(admin).get("/transcripts/figures/export/?by=branch&days=0").content.decode()
    assert "'=HYPERLINK(1)" in told


@pytest.mark.parametrize(
    "query",
    ["since=x", "since=0001-01-01", "until=9999-12-31", "days=8", "by=moon", "project=" + "k" * 17,
     "since=2026-02-02&until=2026-02-01"],
)  # fmt: skip
def test_the_api_names_what_makes_no_sense_and_the_page_forgives(
    archive: Path, client_of: ClientOf, admin: User, query: str
) -> None:
    client = client_of(admin)
    assert client.get(f"{FIGURES}?{query}").status_code == 400
    assert client.get(f"/transcripts/figures/?{query}").status_code == 200
    assert client.get(f"/transcripts/figures/export/?{query}").status_code == 200


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from([*FiguresForm.base_fields]), st.text(max_size=30)))
def test_any_query_is_answered(
    archive: Path, client_of: ClientOf, admin: User, query: dict[str, str]
) -> None:
    FiguresForm(query).wanted()
    client = client_of(admin)
    assert client.get("/transcripts/figures/export/", query).status_code == 200
    assert client.get(FIGURES, query).status_code in (200, 400)


def test_absurd_times_are_counted_and_not_drawn(
    read: Read, projects: Path, client_of: ClientOf, admin: User
) -> None:
    talk = Transcript(projects)
    talk.prompt("When?")
    for at in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", None, "2026-11-03T10:00:00Z"):
        talk.answer("Then", timestamp=at)
    talk.write()
    read()
    assert client_of(admin).get(FIGURES).json()["total"]["responses"] == 4
    page = client_of(admin).get("/transcripts/figures/?days=0")
    assert page.status_code == 200
    assert all(len(chart["t"]) == 1 for chart in page.context["charts"])
    assert "no date" in client_of(admin).get("/transcripts/figures/export/?days=0&by=day").content.decode()


def test_the_session_page_tells_models_and_tools(talks: Read, client_of: ClientOf, admin: User) -> None:
    key = Session.objects.get(project__name="shop").key
    page = client_of(admin).get(f"/transcripts/sessions/{key}/").content.decode()
    panel = page.partition('id="session-details"')[2]
    assert "opus-4-5" in panel
    assert "Bash" in panel


@pytest.mark.parametrize(
    ("micro", "words"),
    [(None, "no price"), (0, "$0.00"), (1, "under $0.0001"), (4_200, "$0.0042"), (12_300_000, "$12.30"),
     (1_234_567_890_000, "$1,234,567.89"), (9_999, "$0.0100"), (10_000, "$0.01")],
)  # fmt: skip
def test_costs_in_words(micro: int | None, words: str) -> None:
    assert cost_words(micro) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(None, "–"), (0, "0"), (999, "999"), (1000, "1.00 k"), (12_345, "12.3 k"), (999_900, "1.00 M"),
     (999_499, "999 k"), (4_561_000, "4.56 M"), (1_200_000_000, "1.20 G")],
)  # fmt: skip
def test_tokens_in_words(count: int | None, words: str) -> None:
    assert tokens_words(count) == words


def test_the_admin_panel_adds_and_deletes_through_the_services(
    archive: Path, client_of: ClientOf, admin: User
) -> None:
    client = client_of(admin)
    body = {"pattern": "mine*", "valid_from": "", "input": "0", "output": "0"}
    assert client.post("/admin/transcripts_app/modelprice/add/", body).status_code == 302
    price = ModelPrice.objects.get(pattern="mine*")
    assert (price.created_by, price.is_first) == (admin, True)
    again = client.post("/admin/transcripts_app/modelprice/add/", body)
    assert (again.status_code, ModelPrice.objects.filter(pattern="mine*").count()) == (200, 1)
    page = f"/admin/transcripts_app/modelprice/{price.pk}"
    assert client.post(f"{page}/change/", body | {"input": "9"}).status_code == 403
    assert client.post(f"{page}/delete/", {"post": "yes"}).status_code == 302
    assert not ModelPrice.objects.filter(pattern="mine*").exists()
    assert AuditEntry.objects.filter(action__in=("price_add", "price_delete")).count() == 2
