"""History from report to answer: kept by control, found again, asked by API, pruned."""

from __future__ import annotations

import csv
import io
import time
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client

from metrics_app import node_events
from metrics_app.history import store
from metrics_app.history.packing import Chunk
from metrics_app.history.query import SpanRefused, samples_read, series_list
from metrics_app.history.recorder import Recorder
from metrics_app.history.tiers import DAY, HOUR
from metrics_app.models import Node, NodeEvent, SampleChunk
from metrics_app.services import node_seen, node_status_set
from metrics_app.tasks import history_prune
from sparkweb.accounts.models import User
from sparkweb.shared_streams import shared_streams
from tests.factories import AttemptFactory, DefinitionFactory, LaunchFactory, MemberFactory, NodeFactory
from tests.support import frames
from tests.support.history_data import history_seed

NOW = 1_800_000_000.0
TIERS = django_settings.HISTORY_TIERS


@pytest.fixture
def redis(redis_url: str, settings: Any) -> Any:
    """The Redis that recorder and queries share in these tests."""
    settings.REDIS_URL = redis_url
    shared_streams.cache_clear()
    yield redis_url
    shared_streams.cache_clear()


def report(cpu: float) -> dict[str, Any]:
    made = frames.report(now=0.0)
    made["host"]["cpu_percent"] = cpu
    return made


def recorded(start: float, values: list[float]) -> Recorder:
    recorder = Recorder()
    for place, value in enumerate(values):
        recorder.take("spark-1", report(value), start + place)
    recorder.flush()
    return recorder


def cpu(start: float, end: float, now: float, points: int = 1_000) -> list[float | None]:
    found = samples_read("spark-1", ["cpu_percent"], start=start, end=end, now=now, points=points)
    return found.series["cpu_percent"].mean


def test_the_last_seconds_are_there_before_anything_is_stored(db: None, redis: str) -> None:
    recorded(NOW, [10.0, 20.0, 30.0])
    assert not SampleChunk.objects.exists()
    assert cpu(NOW, NOW + 3, NOW + 3) == [10.0, 20.0, 30.0]


def test_a_point_of_ten_seconds_has_mean_low_and_high(db: None, redis: str) -> None:
    recorded(NOW, [float(n) for n in range(20)])
    found = samples_read("spark-1", ["cpu_percent"], start=NOW, end=NOW + 20, now=NOW + 5 * HOUR)
    lines = found.series["cpu_percent"]
    assert (found.step, lines.mean, lines.low, lines.high) == (10, [4.5, 14.5], [0, 10], [9, 19])


def test_a_control_that_starts_again_goes_on_where_it_was(db: None, redis: str) -> None:
    recorded(NOW, [10.0, 10.0])
    recorded(NOW + 2, [40.0, 40.0])
    assert cpu(NOW, NOW + 4, NOW + 4) == [10.0, 10.0, 40.0, 40.0]
    minute = samples_read("spark-1", ["cpu_percent"], start=NOW, end=NOW + 60, now=NOW + 2 * DAY)
    lines = minute.series["cpu_percent"]
    assert (lines.low, lines.high) == ([10.0], [40.0])


def test_closed_periods_lie_in_the_database_and_a_clock_set_back_adds_to_them(db: None, redis: str) -> None:
    recorder = recorded(NOW, [1.0, 2.0])
    recorder.take("spark-1", report(3.0), NOW + 400)
    recorder.flush()
    assert SampleChunk.objects.filter(tier=0).count() == 1
    recorder.take("spark-1", report(9.0), NOW + 2)  # an hour back, or late
    recorder.take("spark-1", report(4.0), NOW + 401)
    recorder.flush()
    assert cpu(NOW, NOW + 4, NOW + 402) == [1.0, 2.0, 9.0, None]
    assert cpu(NOW + 400, NOW + 402, NOW + 402) == [3.0, 4.0]


def test_without_redis_what_is_closed_is_read(db: None, redis: str, monkeypatch: Any) -> None:
    history_seed("spark-1", now=NOW, seconds=HOUR)
    monkeypatch.setattr("metrics_app.history.query.open_find", _down)
    assert len(series_list("spark-1", now=NOW)) == 20
    assert all(value is not None for value in cpu(NOW - 600, NOW, NOW))


def _down(*_arguments: Any) -> None:
    from sparkweb.streams import StreamsDown

    raise StreamsDown("gone")


def test_two_years_come_in_at_most_the_points_that_were_asked(db: None, redis: str) -> None:
    history_seed("spark-1", now=NOW, seconds=40 * DAY, tiers=TIERS[3:])
    found = samples_read("spark-1", ["cpu_percent"], start=NOW - 730 * DAY, end=NOW, now=NOW, points=500)
    assert len(found.t) <= 500
    known = [value for value in found.series["cpu_percent"].mean if value is not None]
    assert 25 <= len(known) <= 30, "forty days of seven hundred and thirty"
    assert {b - a for a, b in zip(found.t, found.t[1:], strict=False)} == {found.step}


@pytest.mark.parametrize(
    ("start", "end", "keys", "code"),
    [
        (2.0, 1.0, ["cpu_percent"], "span_reversed"),
        (float("nan"), 1.0, ["cpu_percent"], "span_invalid"),
        (0.0, 1e12, ["cpu_percent"], "span_too_long"),
        (0.0, 1.0, ["nonsense"], "series_unknown"),
        (0.0, 1.0, ["cpu_percent"] * 101, "too_many_series"),
    ],
)
def test_questions_without_an_answer(start: float, end: float, keys: list[str], code: str) -> None:
    with pytest.raises(SpanRefused) as refused:
        samples_read("spark-1", keys, start=start, end=end, now=NOW)
    assert refused.value.code == code


def test_a_damaged_chunk_leaves_a_gap(db: None, redis: str) -> None:
    history_seed("spark-1", now=NOW, seconds=900, tiers=TIERS[:1])
    SampleChunk.objects.order_by("start").update(data=b"nonsense")
    assert set(cpu(NOW - 600, NOW, NOW)) == {None}


def test_what_is_over_is_pruned_and_nothing_else(db: None, redis: str) -> None:
    now = time.time()
    for tier in TIERS:
        for age in (tier.keep - 2 * tier.period, tier.keep + 2 * tier.period):
            store.chunk_store("spark-1", tier, tier.start_of(now - age), b"")
    assert history_prune() == len(TIERS)
    assert SampleChunk.objects.count() == len(TIERS)


# The API --------------------------------------------------------------------------


@pytest.fixture
def node(db: None, redis: str) -> Node:
    history_seed("spark-1", now=time.time(), seconds=HOUR)
    return NodeFactory(name="spark-1")


def test_api_lists_series_and_reads_them(node: Node, viewer: User, client_of: Any) -> None:
    client: Client = client_of(viewer)
    listed = client.get("/api/nodes/spark-1/series/").json()
    gpu = next(row for row in listed if row["key"] == "gpu_power_watts|0")
    assert (gpu["unit"], gpu["scope"], gpu["subject"], gpu["label"]) == ("W", "gpu", "0", "Power")
    answer = client.get(
        "/api/nodes/spark-1/samples/", {"series": ["cpu_percent", "gpu_power_watts|0"]}
    ).json()
    assert len(answer["t"]) == len(answer["series"]["gpu_power_watts|0"]["mean"]) > 300
    assert answer["step"] == 4, "the seconds of an hour, folded to a thousand points"


def test_api_as_csv(node: Node, viewer: User, client_of: Any) -> None:
    answer = client_of(viewer).get("/api/nodes/spark-1/samples.csv", {"series": "cpu_percent", "points": 10})
    assert answer["Content-Type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(answer.content.decode())))
    assert rows[0] == ["time", "cpu_percent mean", "cpu_percent low", "cpu_percent high"]
    assert 2 <= len(rows) <= 12
    assert any(row[1] for row in rows[1:])


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 400),
        ({"series": "nonsense"}, 409),
        ({"series": "a\0b"}, 409),
        ({"series": "cpu_percent", "start": "x"}, 400),
        ({"series": "cpu_percent", "start": "nan"}, 400),
        ({"series": "cpu_percent", "start": "1e400"}, 400),
        ({"series": "cpu_percent", "start": "5", "end": "4"}, 409),
        ({"series": "cpu_percent", "points": "many"}, 400),
        ({"series": "cpu_percent", "points": "-5"}, 200),
        ({"series": "cpu_percent", "start": "-1e5", "end": "1"}, 200),
        ({"series": [f"load|{n}" for n in range(200)]}, 409),
    ],
)
def test_api_refuses_in_words(
    node: Node, viewer: User, client_of: Any, query: dict[str, Any], status: int
) -> None:
    answer = client_of(viewer).get("/api/nodes/spark-1/samples/", query)
    assert answer.status_code == status, answer.content
    assert status == 200 or answer.json()["error"]


# What happened --------------------------------------------------------------------


def seen(name: str, boot: str, driver: str, version: str) -> None:
    made = frames.report(now=0.0)
    made["agent"] |= {"host_boot": boot, "version": version}
    made["gpu"]["driver"] = driver
    node_seen(name=name, report=made)


def test_coming_going_and_changes_of_a_node_are_marks(local_node: Node) -> None:
    node_status_set(name="spark-1", status="online")
    node_status_set(name="spark-1", status="stale")
    node_status_set(name="spark-1", status="online")
    node_status_set(name="spark-1", status="offline")
    seen("spark-1", "boot-a", "580.1", "0.1.0")
    seen("spark-1", "boot-a", "580.1", "0.1.0")
    seen("spark-1", "boot-b", "580.2", "0.2.0")
    kinds = list(NodeEvent.objects.order_by("pk").values_list("kind", flat=True))
    assert kinds == ["online", "offline", "booted", "driver", "agent"]
    assert "580.1 → 580.2" in NodeEvent.objects.get(kind="driver").message


def test_a_driver_that_came_back_is_one_mark_with_its_cause(local_node: Node) -> None:
    seen("spark-1", "boot-a", "580.1", "0.1.0")
    sentence = "Driver 580.1 was replaced by 580.2; no figures for 9 s: not loaded"
    made = frames.report(now=0.0)
    made["gpu"] |= {"driver": "580.2", "reloaded": {"kind": "replaced", "at": 5.0, "sentence": sentence}}
    node_seen(name="spark-1", report=made)
    node_seen(name="spark-1", report=made)
    made["gpu"]["reloaded"] = None
    node_seen(name="spark-1", report=made)
    assert list(NodeEvent.objects.filter(kind="driver").values_list("message", flat=True)) == [
        f"spark-1: {sentence}"
    ]
    for odd in (7, [], {"at": None}):
        made["gpu"]["reloaded"] = odd
        node_seen(name="spark-1", report=made)
    assert NodeEvent.objects.filter(kind="driver").count() == 1


def test_launches_are_marks_of_their_node(local_node: Node, viewer: User, client_of: Any) -> None:
    launch = LaunchFactory(definition=DefinitionFactory(slug="qwen"), node=local_node, state="ready")
    launch.events.create(kind="state", from_state="loading", to_state="ready", message="Ready")
    launch.events.create(kind="state", from_state="ready", to_state="loading", message="not a mark")
    (event,) = client_of(viewer).get("/api/nodes/spark-1/events/").json()
    assert (event["tone"], event["subject"], event["kind"]) == ("good", "qwen", "launch_ready")
    assert event["url"] == launch.get_absolute_url()
    assert not node_events.events_between(["spark-2"], 0, 4e9)


def test_figures_of_models_go_by_slug_and_rates_survive_a_reset(local_node: Node, monkeypatch: Any) -> None:
    from models_app import history

    monkeypatch.setattr(history, "_slugs", {})
    monkeypatch.setattr(history, "_counted", {})
    clock = [100.0]
    monkeypatch.setattr(history.time, "monotonic", lambda: clock[0])
    launch = LaunchFactory(definition=DefinitionFactory(slug="qwen"), node=local_node)
    member = MemberFactory(attempt=AttemptFactory(launch=launch))
    found = []
    for total in (1_000, 1_500, 20):
        engine = {"requests_running": 3, "generation_tokens_total": total}
        entry = {"member": member.uid, "phase": "running", "memory_bytes": 5, "engine": engine}
        found.append(history.model_figures("spark-1", {"launches": [entry, {"member": "nobody"}, 7]}))
        clock[0] += 5
    assert found[1]["model_generation_tokens_per_second|qwen"] == 100.0
    assert found[1]["model_requests_running|qwen"] == 3
    assert found[1]["model_memory_bytes|qwen"] == 5
    assert "model_generation_tokens_per_second|qwen" not in found[2], "the engine began anew"


def test_merging_keeps_what_only_one_has() -> None:
    from metrics_app.history.open_chunks import chunks_merge

    assert chunks_merge(Chunk(4, False), Chunk(4, False)).columns == {}
