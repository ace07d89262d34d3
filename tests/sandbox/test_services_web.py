"""Wishes about services: stored, told, told again, seen, and who may have them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from metrics_app.models import Node, NodeStatus
from sandbox_app import managed
from sandbox_app.exceptions import ToolRefused
from sandbox_app.models_services import ManagedService, ServiceName
from sparkweb.accounts.actor import Actor
from sparkweb.accounts.models import AuditEntry, User
from sparkweb.streams import StreamsDown

NAME = ServiceName.SEARXNG
Nudges = list[tuple[str, str, dict[str, Any]]]
pytestmark = pytest.mark.django_db(transaction=True)


def report(node: Node, **entry: Any) -> None:
    entries = [{"service": "searxng", "state": "running", "health": "ok", **entry}] if entry else []
    managed.services_reported(node.name, entries, {})


def wishes(nudges: Nudges) -> list[tuple[int, bool]]:
    return [(told["generation"], told["run"]) for _, task, told in nudges if task == "service.apply"]


def time_passes() -> None:
    ManagedService.objects.update(sent_at=timezone.now() - timedelta(seconds=60))


def test_started_restarted_and_stopped(node: Node, nudges: Nudges, someone: Actor) -> None:
    row = managed.service_start(name=NAME, node=node, actor=someone)
    managed.service_start(name=NAME, node=node, actor=someone)
    managed.service_restart(name=NAME, node=node, actor=someone)
    managed.service_stop(name=NAME, node=node, actor=someone)
    managed.service_stop(name=NAME, node=node, actor=someone)
    assert wishes(nudges) == [(1, True), (2, True), (3, False)]
    row.refresh_from_db()
    assert (row.run, row.generation) == (False, 3)
    actions = (
        AuditEntry.objects.filter(target="searxng on spark-1").order_by("pk").values_list("action", flat=True)
    )
    assert list(actions) == ["service_start", "service_restart", "service_stop"]


def test_told_again_until_it_is_taken_and_when_it_is_lost(node: Node, nudges: Nudges, someone: Actor) -> None:
    managed.service_start(name=NAME, node=node, actor=someone)
    managed.services_reconcile()
    assert len(nudges) == 1  # it was told just now
    time_passes()
    managed.services_reconcile()
    assert len(nudges) == 2
    report(node, generation=1, image="searxng:1")
    time_passes()
    managed.services_reconcile()
    assert len(nudges) == 2
    row = ManagedService.objects.get()
    assert (row.state, row.health, row.image, row.is_done) == ("running", "ok", "searxng:1", True)
    report(node)  # removed by hand
    time_passes()
    managed.services_reconcile()
    assert wishes(nudges) == [(1, True)] * 3


def test_a_stop_that_finds_nothing_is_done(node: Node, nudges: Nudges, someone: Actor) -> None:
    managed.service_start(name=NAME, node=node, actor=someone)
    managed.service_stop(name=NAME, node=node, actor=someone)
    report(node)
    time_passes()
    managed.services_reconcile()
    assert len(nudges) == 2
    assert ManagedService.objects.get().is_done


def test_a_failed_one_waits_for_somebody(node: Node, nudges: Nudges, someone: Actor) -> None:
    managed.service_start(name=NAME, node=node, actor=someone)
    report(node, generation=1, state="failed", message="Port 8080 is in use", health="unknown")
    time_passes()
    managed.services_reconcile()
    assert len(nudges) == 1
    managed.service_start(name=NAME, node=node, actor=someone)
    assert wishes(nudges)[-1] == (2, True)
    assert ManagedService.objects.get().message == ""


def test_odd_reports_do_no_harm(node: Node, nudges: Nudges, someone: Actor) -> None:
    managed.service_start(name=NAME, node=node, actor=someone)
    for odd in (None, "x", [None, 1, {"service": 3}]):
        managed.services_reported(node.name, odd, {})
    report(node, generation="1", state="\0", health=7, message="a\0" * 900, image=["x"] * 500)
    row = ManagedService.objects.get()
    assert (row.state, row.health, row.seen_generation) == ("exited", "unknown", 0)
    assert len(row.message) == 500
    managed.services_reported("spark-9", [{"service": "searxng", "state": "running"}], {})


def test_a_silent_node_is_not_asked(node: Node, nudges: Nudges, someone: Actor) -> None:
    node.status = NodeStatus.OFFLINE
    node.save()
    for ask in (managed.service_start, managed.service_stop, managed.service_restart):
        with pytest.raises(ToolRefused, match="offline"):
            ask(name=NAME, node=node, actor=someone)
    with pytest.raises(ToolRefused, match="offline"):
        managed.service_log(name=NAME, node=node)
    assert nudges == []


def test_a_log_that_does_not_come(node: Node, nudges: Nudges, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away:
        def last(self, stream: str) -> str:
            raise StreamsDown

    class Quiet:
        def last(self, stream: str) -> str:
            return "0-0"

        def read(self, streams: Any, block_seconds: float) -> list[Any]:
            return []

    monkeypatch.setattr(managed, "LOG_WAIT_SECONDS", 0.1)
    for streams, words in ((Away(), "Redis does not answer"), (Quiet(), "did not answer within")):
        monkeypatch.setattr(managed, "shared_streams", lambda streams=streams: streams)
        with pytest.raises(ToolRefused, match=words):
            managed.service_log(name=NAME, node=node)


def test_page_and_buttons(
    node: Node, nudges: Nudges, client_of: Callable[..., Client], admin: User, operator: User
) -> None:
    client = client_of(admin)
    page = client.get("/tools/services/").content.decode()
    assert "SearXNG on" in page and "Not started yet" in page
    answer = client.post("/tools/services/searxng/spark-1/start/")
    assert answer.status_code == 204
    assert "SearXNG on spark-1 starts" in json.loads(answer["HX-Trigger"])["toast"]["message"]
    report(node, generation=1, state="failed", message="<b>Port</b> in use", health="unknown")
    cards = client.get("/tools/services/nodes/").content.decode()
    assert "&lt;b&gt;Port&lt;/b&gt; in use" in cards
    assert "/tools/services/searxng/spark-1/restart/" in cards
    assert "/restart/" not in client_of(operator).get("/tools/services/").content.decode()
    for path in ("searxng/spark-1/explode/", "other/spark-1/start/", "searxng/spark-9/start/"):
        assert client.post(f"/tools/services/{path}").status_code == 404
    node.status = NodeStatus.OFFLINE
    node.save()
    refused = client.post("/tools/services/searxng/spark-1/stop/")
    assert (refused.status_code, "offline" in refused.content.decode()) == (409, True)


def test_the_api(
    node: Node, nudges: Nudges, bearer: Callable[..., Client], admin: User, operator: User
) -> None:
    caller = bearer(admin, "admin")
    (before,) = caller.get("/api/services").json()
    assert (before["service"], before["node"], before["run"], before["state"]) == (
        "searxng",
        "spark-1",
        False,
        "",
    )
    answer = caller.post("/api/services/searxng/spark-1/start")
    assert (answer.status_code, answer.json()["run"]) == (202, True)
    assert caller.post("/api/services/searxng/spark-9/start").status_code == 404
    assert caller.post("/api/services/other/spark-1/stop/").status_code == 404
    assert bearer(operator, "operate").post("/api/services/searxng/spark-1/stop").status_code == 403
    assert bearer(operator, "operate").get("/api/services/searxng/spark-1/log").status_code == 403
    assert wishes(nudges) == [(1, True)]
