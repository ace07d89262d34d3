"""Calls kept from the older services: same paths, same fields, nothing redirected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from django.test import Client

from models_app import compat
from models_app.models import Launch
from sparkweb import logs
from sparkweb.accounts.models import AuditEntry, User
from sparkweb.shared_streams import shared_streams
from sparkweb.streams import Streams
from tests.factories import AttemptFactory, DefinitionFactory, LaunchFactory, MemberFactory, NodeFactory

pytestmark = pytest.mark.django_db
GIB = 2**30
REPORT: dict[str, Any] = {
    "gpu": {"status": "ok", "unified_memory": False},
    "gpus": [
        {"index": 0, "name": "RTX", "utilization_percent": 12, "memory_used_bytes": 4 * GIB,
         "memory_total_bytes": 16 * GIB, "memory_held_bytes": 3 * GIB, "power_watts": 55.5,
         "power_limit_watts": 300,
         "temperature_celsius": 41, "processes": [{"pid": 9, "name": "python", "memory_bytes": GIB}]}
    ],
    "host": {"cpu_percent": 3.5, "memory_total_bytes": 64 * GIB, "memory_used_bytes": 16 * GIB,
             "memory_available_bytes": 48 * GIB},
    "containers": [{"name": "web", "state": "running", "status": "Up 3 minutes",
                    "ports": ["127.0.0.1:8104->8000/tcp", "9000/tcp"]}],
    "launches": [],
}  # fmt: skip
UNIFIED: dict[str, Any] = {
    **REPORT,
    "gpu": {"status": "ok", "unified_memory": True},
    "gpus": [
        {
            **REPORT["gpus"][0],
            "memory_used_bytes": None,
            "memory_total_bytes": None,
            "power_limit_watts": None,
        }
    ],
}


@pytest.fixture
def api(bearer: Callable[..., Client], admin: User) -> Client:
    return bearer(admin, "admin")


@pytest.fixture
def node(db: None) -> Any:
    return NodeFactory(name="spark-1", status="online")


@pytest.fixture
def reported(redis_url: str, settings: Any, node: Any) -> Iterator[Callable[..., None]]:
    """Store a report as control does, in a real Redis."""
    settings.REDIS_URL = redis_url
    shared_streams.cache_clear()

    def store(report: dict[str, Any], name: str = "spark-1") -> None:
        stored = {"report": report, "received_at": 1_700_000_000.0, "boot": "b", "seq": 1}
        Streams(redis_url).put(f"snapshot:{name}", orjson.dumps(stored))

    yield store
    shared_streams.cache_clear()


# Figures -------------------------------------------------------------------------


def test_metrics_have_the_old_names_and_units(api: Client, reported: Callable[..., None]) -> None:
    reported(REPORT)
    assert api.get("/api/metrics").json() == {
        "gpus": [
            {"index": 0, "name": "RTX", "temperature": 41, "powerDraw": 55.5, "powerLimit": 300,
             "memoryUsed": 4096.0, "memoryTotal": 16384.0, "utilizationGpu": 12}
        ],
        "memoryUsed": 16.0,
        "memoryTotal": 64.0,
        "cpuUsage": 3.5,
        "timestamp": "2023-11-14T22:13:20+00:00",
        "node": "spark-1",
    }  # fmt: skip


def test_unknown_figures_are_null_never_zero(api: Client, reported: Callable[..., None]) -> None:
    reported(UNIFIED)
    gpu = api.get("/api/metrics").json()["gpus"][0]
    assert (gpu["memoryTotal"], gpu["powerLimit"]) == (None, None)
    assert gpu["memoryUsed"] == 3072.0  # what processes hold


def test_memory_of_a_discrete_card(api: Client, reported: Callable[..., None]) -> None:
    reported(REPORT)
    assert api.get("/api/system/memory/").json() == {
        "unified": {"total_gb": 64.0, "available_gb": 48.0, "used_gb": 16.0, "gpu_used_gb": 4.0},
        "gpu_processes": [{"pid": 9, "name": "python", "memory_mb": 1024.0, "gpu": 0}],
        "discrete_gpu": {"total_gb": 16.0, "used_gb": 4.0, "free_gb": 12.0},
        "is_unified": False,
        "node": "spark-1",
    }


def test_unified_memory(api: Client, reported: Callable[..., None]) -> None:
    reported(UNIFIED)
    body = api.get("/api/system/memory").json()
    assert (body["is_unified"], body["discrete_gpu"], body["unified"]["gpu_used_gb"]) == (True, None, 3.0)


def test_containers(api: Client, reported: Callable[..., None]) -> None:
    reported(REPORT)
    expected = [{"name": "web", "status": "Up 3 minutes", "ports": "127.0.0.1:8104->8000/tcp, 9000/tcp"}]
    assert api.get("/api/containers").json() == expected


def test_node_is_picked_by_name(api: Client, reported: Callable[..., None]) -> None:
    NodeFactory(name="spark-2", status="online")
    reported({**REPORT, "host": {"cpu_percent": 99}}, "spark-2")
    assert api.get("/api/metrics?node=spark-2").json()["cpuUsage"] == 99
    assert api.get("/api/metrics?node=moon").status_code == 404
    assert api.get("/api/metrics?node=%00").status_code == 404


def test_without_a_report_the_answer_is_503_with_a_sentence(
    api: Client, reported: Callable[..., None]
) -> None:
    answer = api.get("/api/metrics")
    assert (answer.status_code, answer.json()["code"]) == (503, "no_report")
    assert "spark-1" in answer.json()["error"]


def test_log_level_is_read_and_changed_at_run_time(
    api: Client, node: Any, bearer: Callable[..., Client], operator: User
) -> None:
    before = logs.level_get()
    try:
        assert api.get("/api/config/log-level").json() == {"level": before}
        assert api.post(
            "/api/config/log-level", {"level": "debug"}, content_type="application/json"
        ).json() == {"level": "debug"}
        assert logs.level_get() == "debug"
        answer = api.post("/api/config/log-level", {"level": "shout"}, content_type="application/json")
        assert (answer.status_code, list(answer.json()["fields"])) == (400, ["level"])
        assert AuditEntry.objects.filter(action="log_level_set").count() == 1
        assert (
            bearer(operator, "operate").post("/api/config/log-level", {"level": "debug"}).status_code == 403
        )
    finally:
        logs.level_set(before)


# Models --------------------------------------------------------------------------


def test_model_has_the_old_fields_and_the_true_state(api: Client, node: Any) -> None:
    DefinitionFactory(
        slug="qwen",
        name="Qwen",
        port=8104,
        container_name="vllm-qwen",
        estimated_memory_gb=45,
        description="d",
        settings={"max_model_len": 65536, "enable_auto_tool_choice": True, "tool_call_parser": "hermes"},
    )
    assert api.get("/api/models/qwen").json() == {
        "id": "qwen", "name": "Qwen", "engine": "vllm", "port": 8104,
        "status": "not_created", "state": "not_created", "container_name": "vllm-qwen",
        "memory_mb": None, "startup_progress": None, "description": "d",
        "estimated_memory_gb": 45.0, "model_id": "org/model", "max_context_length": 65536,
        "supports_tools": True,
        "tool_call_parser": "hermes", "node": None,
    }  # fmt: skip
    assert [model["id"] for model in api.get("/api/models").json()] == ["qwen"]


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("ready", "running"), ("degraded", "running"), ("requested", "starting"), ("pulling", "starting"),
        ("starting", "starting"), ("loading", "starting"), ("stopping", "stopped"), ("failed", "stopped"),
        ("parked", "stopped"), ("stopped", "stopped"), ("lost", "stopped"),
    ],
)  # fmt: skip
def test_states_are_told_in_the_old_words(api: Client, node: Any, state: str, status: str) -> None:
    definition = DefinitionFactory(slug="qwen")
    launch = LaunchFactory(definition=definition, node=node, state=state)
    MemberFactory(attempt=AttemptFactory(launch=launch))
    body = api.get("/api/models/qwen").json()
    assert (body["status"], body["state"]) == (status, state)
    health = api.get("/api/models/qwen/health").json()
    assert (health["healthy"], health["status"]) == (state == "ready", status)
    progress = body["startup_progress"]
    assert (progress is not None) == (status == "starting")
    if progress:
        assert set(progress) >= {"elapsed_seconds", "timeout_seconds", "progress_percent"}


def test_start_and_stop(api: Client, node: Any) -> None:
    DefinitionFactory(slug="qwen", estimated_memory_gb=None)
    body = api.post("/api/models/qwen/start").json()
    assert (body["status"], body["container_id"], body["timeout_seconds"] > 0) == ("starting", None, True)
    assert "qwen" in body["message"].lower()
    again = api.post("/api/models/qwen/start/")
    assert (again.status_code, again.json()["launch"]) == (200, body["launch"])
    stopped = api.post("/api/models/qwen/stop")
    assert (stopped.status_code, stopped.json()["status"]) == (202, "stopped")
    assert Launch.objects.get().desired == "stopped"


def test_stop_of_what_does_not_run_is_no_error(api: Client, node: Any) -> None:
    DefinitionFactory(slug="qwen", name="Qwen")
    answer = api.post("/api/models/qwen/stop")
    assert (answer.status_code, answer.json()["message"]) == (200, "Qwen does not run")


def test_start_short_of_memory_is_refused_and_forced(api: Client, reported: Callable[..., None]) -> None:
    reported(UNIFIED)
    DefinitionFactory(slug="big", estimated_memory_gb=200)
    answer = api.post("/api/models/big/start")
    body = answer.json()
    assert (answer.status_code, body["code"], body["required_gb"], body["available_gb"]) == (
        409,
        "memory_short",
        200.0,
        48.0,
    )
    assert body["hint"]
    check = api.get("/api/models/big/memory-check").json()
    assert (check["can_start"], check["remaining_gb"], set(check)) == (
        False,
        -152.0,
        {"can_start", "available_gb", "required_gb", "remaining_gb", "warning", "error"},
    )
    forced = api.post("/api/models/big/start?force=true&reason=benchmark")
    assert forced.status_code == 202
    assert "200" in forced.json()["memory_warning"]
    assert Launch.objects.get().forced_reason == "benchmark"


def test_wait_ends_when_the_container_is_there(api: Client, node: Any) -> None:
    definition = DefinitionFactory(slug="qwen")
    launch = LaunchFactory(definition=definition, node=node)
    MemberFactory(attempt=AttemptFactory(launch=launch), container_id="c" * 64)
    assert api.post("/api/models/qwen/start?wait=10").json()["container_id"] == "c" * 64


def test_wait_does_not_outlast_a_failed_launch(api: Client, node: Any) -> None:
    DefinitionFactory(slug="qwen", estimated_memory_gb=None)
    body = api.post("/api/models/qwen/start?wait=0.3").json()
    assert body["container_id"] is None


def test_only_a_few_wait_at_a_time(api: Client, node: Any) -> None:
    DefinitionFactory(slug="qwen", estimated_memory_gb=None)
    for _ in range(4):
        assert compat._WAITERS.acquire(blocking=False)
    try:
        assert api.post("/api/models/qwen/start?wait=10").json()["container_id"] is None
    finally:
        for _ in range(4):
            compat._WAITERS.release()


@pytest.mark.parametrize("query", ["wait=11", "wait=-1", "wait=nan", "wait=x", "force=maybe"])
def test_odd_parameters_are_a_400(api: Client, node: Any, query: str) -> None:
    DefinitionFactory(slug="qwen")
    answer = api.post(f"/api/models/qwen/start?{query}")
    assert answer.status_code == 400
    assert query.split("=")[0] in answer.json()["fields"]
    assert not Launch.objects.exists()


def test_logs_come_as_text_and_as_lines(api: Client, node: Any) -> None:
    definition = DefinitionFactory(slug="qwen")
    launch = LaunchFactory(definition=definition, node=node)
    MemberFactory(attempt=AttemptFactory(launch=launch), last_log="a\nb\nc")
    assert api.get("/api/models/qwen/logs?lines=2").json() == {
        "id": "qwen",
        "logs": "b\nc",
        "lines": ["b", "c"],
    }


@pytest.mark.parametrize("model", ["ghost", "%00", "a%20b", "x" * 300])
def test_model_that_is_not_there_is_a_404(api: Client, node: Any, model: str) -> None:
    for path in ("", "/health", "/logs", "/memory-check"):
        answer = api.get(f"/api/models/{model}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert api.post(f"/api/models/{model}/start").status_code == 404
