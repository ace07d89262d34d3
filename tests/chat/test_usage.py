"""The ledger: who sees what of it, what it sums to, and that nothing of it is lost or counted twice."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from chat_app.gateway.ledger import Entry, Ledger, entries_store
from chat_app.models import UsageOutcome, UsageRecord
from chat_app.tasks import usage_housekeeping
from sparkweb.accounts.models import User
from tests.support.stack import wait_for


def _record(uid: str, **fields: Any) -> UsageRecord:
    known: dict[str, Any] = {
        "user_label": "ada", "model": "qwen", "endpoint": "chat/completions", "status": 200,
        "outcome": UsageOutcome.OK, "duration_ms": 1100.0, "first_ms": 100.0, "streamed": True,
        "input_tokens": 10, "output_tokens": 50, "cached_tokens": 4,
    }  # fmt: skip
    return UsageRecord(uid=uid, **known | fields)


def test_sums_add_up_by_model_and_person(admin: User, client_of: Callable[..., Client]) -> None:
    for number in range(3):
        _record(f"a{number}").save()
    _record("b", model="phi", user_label="bob", output_tokens=None, outcome=UsageOutcome.ERROR).save()
    _record("old", at=timezone.now() - timedelta(days=40)).save()
    told = client_of(admin).get("/api/usage").json()
    assert told["total"] == {
        "requests": 4, "failed": 1, "input_tokens": 40, "output_tokens": 150, "cached_tokens": 16,
    }  # fmt: skip
    qwen, phi = told["model"]
    assert (qwen["name"], qwen["requests"], qwen["tokens_per_second"], qwen["first_ms"]) == (
        "qwen",
        3,
        50,
        100,
    )
    assert (phi["name"], phi["failed"], phi["tokens_per_second"]) == ("phi", 1, None)
    assert sum(sum(line["requests"]) for line in told["series"]["lines"]) == 4
    assert client_of(admin).get("/api/usage?user=bob").json()["total"]["requests"] == 1
    assert client_of(admin).get("/api/usage?days=0").json()["total"]["requests"] == 4


def test_people_see_their_own_and_nothing_else(
    viewer: User, operator: User, client_of: Callable[..., Client]
) -> None:
    _record("mine", user=viewer, model="seen").save()
    _record("theirs", user=operator, model="their-model").save()
    client = client_of(viewer)
    for path in ("/usage/", "/usage/?user=ada", "/api/usage", "/api/usage?user=ada"):
        assert b"their-model" not in client.get(path).content
    assert client.get("/api/usage?model=their-model").json()["total"]["requests"] == 0
    text = b"".join(client.get("/usage/export/").streaming_content).decode()
    assert [row["model"] for row in csv.DictReader(io.StringIO(text))] == ["seen"]


def test_nothing_in_the_file_is_a_formula(admin: User, client_of: Callable[..., Client]) -> None:
    _record("x", model="=1+1").save()
    text = b"".join(client_of(admin).get("/api/usage/export").streaming_content).decode()
    assert "'=1+1" in text


def test_the_page_says_how_to_begin_and_shows_no_markup(
    admin: User, client_of: Callable[..., Client]
) -> None:
    assert b"/v1" in client_of(admin).get("/usage/").content
    _record("x", model="<img src=x>").save()
    content = client_of(admin).get("/usage/").content
    assert b"<img src=x>" not in content
    assert b"&lt;img src=x&gt;" in content


def _entry(uid: str) -> Entry:
    return Entry(
        uid, timezone.now(), None, "ada", None, "", "qwen", "", "", "embeddings", False, 200, "ok", "", 1,
        None, None, False, None, 5.0,
    )  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_the_ledger_catches_up_after_the_database_was_away() -> None:
    ledger = Ledger()
    tried: list[int] = []

    def away(entries: list[Entry]) -> None:
        tried.append(len(entries))
        if len(tried) < 3:
            raise OperationalError("away")
        entries_store(entries)

    with (
        mock.patch("chat_app.gateway.ledger.entries_store", away),
        mock.patch("chat_app.gateway.ledger.EVERY_SECONDS", 0.01),
    ):
        ledger.add(_entry("one"))
        ledger.add(_entry("two"))
        wait_for(lambda: UsageRecord.objects.count() == 2, "both entries")
        ledger.add(_entry("one"))  # told twice
        ledger.close(60)
    assert sorted(UsageRecord.objects.values_list("uid", flat=True)) == ["one", "two"]


@pytest.mark.django_db(transaction=True)
def test_whoever_was_deleted_meanwhile_holds_up_nobody(operator: User) -> None:
    ledger = Ledger()
    ledger.add(_entry("gone")._replace(user_id=10**6, key_id=10**6))
    ledger.add(_entry("here")._replace(user_id=operator.pk))
    ledger.close(60)
    told = dict(UsageRecord.objects.values_list("uid", "user_id"))
    assert told == {"gone": None, "here": operator.pk}


def test_old_entries_go(db: None) -> None:
    _record("old", at=timezone.now() - timedelta(days=731)).save()
    _record("new").save()
    assert usage_housekeeping() == 1
    assert UsageRecord.objects.get().uid == "new"


def test_prometheus_gets_what_reached_an_engine(admin: User, client_of: Callable[..., Client]) -> None:
    _record("a", launch_uid="aa").save()
    _record("b", launch_uid="aa", outcome=UsageOutcome.CUT).save()
    _record("c", model="made-up", launch_uid="").save()
    text = client_of(admin).get("/metrics").content.decode()
    assert 'sparkweb_gateway_requests_total{model="qwen",outcome="ok"} 1.0' in text
    assert 'sparkweb_gateway_tokens_total{kind="output",model="qwen"} 100.0' in text
    assert "made-up" not in text
