"""The pages for Prometheus: right names and units, nothing unknown, nobody without leave."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from typing import Any

import orjson
import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from metrics_app.models import Node
from metrics_app.prometheus.known import families_known
from metrics_app.prometheus.own import families_own
from metrics_app.prometheus.page import NodeView, page_text
from metrics_app.selectors import snapshot_key
from metrics_app.views_prometheus import allowed_networks
from sparkweb.accounts.models import User
from sparkweb.env import EnvironmentInvalid
from sparkweb.shared_streams import shared_streams
from tests.factories import AttemptFactory, DefinitionFactory, LaunchFactory, MemberFactory, NodeFactory
from tests.support import frames
from tests.support.stack import REPOSITORY

ODD = 'quo"te\\back\nline'


def figures(text: bytes | str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of a page by name and labels."""
    parsed = text_string_to_metric_families(text.decode() if isinstance(text, bytes) else text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parsed
        for sample in family.samples
    }


def value(text: bytes, name: str, **labels: str) -> float | None:
    found = [
        number for (key, given), number in figures(text).items()
        if key == name and labels.items() <= dict(given).items()
    ]  # fmt: skip
    return found[0] if found else None


def view(kind: str = "gb10", **changes: Any) -> NodeView:
    return NodeView("spark-1", "online", frames.report(kind, now=0.0) | changes)


def test_units_are_base_units() -> None:
    text = page_text(families_own([view()]))
    assert value(text, "sparkweb_gpu_utilization_ratio", gpu="0") == pytest.approx(0.71)
    assert value(text, "sparkweb_gpu_clock_sm_hertz") >= 1e8  # type: ignore[operator]
    assert value(text, "sparkweb_gpu_energy_joules_total") == pytest.approx(12345.6)
    assert value(text, "sparkweb_node_up", node="spark-1") == 1


def test_what_a_gb10_does_not_tell_is_not_there() -> None:
    text = page_text(families_own([view()])) + page_text(families_known([view()]))
    for absent in ("memory_total_bytes{gpu", "power_limit", "fan_ratio", "FB_USED", "FB_FREE"):
        assert absent not in text.decode()
    assert "sparkweb_gpu_memory_held_bytes" in text.decode()


def test_names_that_dashboards_know() -> None:
    text = page_text(families_known([view("two")]))
    assert value(text, "DCGM_FI_DEV_GPU_UTIL", gpu="0") == 62
    assert value(text, "DCGM_FI_DEV_FB_USED", gpu="0") == 37 * 1024
    assert value(text, "DCGM_FI_DEV_FB_FREE", gpu="0", device="nvidia0") == 11 * 1024
    assert value(text, "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION") == pytest.approx(12345600)
    assert value(text, "node_memory_MemAvailable_bytes", nodename="spark-1")


def test_counters_under_the_names_of_node_exporter() -> None:
    text = page_text(families_known([view()]))
    assert value(text, "node_cpu_seconds_total", cpu="1", mode="idle", nodename="spark-1") == 9000
    assert value(text, "node_cpu_seconds_total", cpu="0", mode="steal") == 0.5
    assert value(text, "node_disk_read_bytes_total", device="nvme0n1") == 7_000_000
    assert value(text, "node_disk_io_time_seconds_total", device="nvme0n1") == 1.75
    assert value(text, "node_network_receive_bytes_total", device="enP7s7") == 5_000
    assert value(text, "node_network_transmit_drop_total", device="enP7s7") == 10
    assert value(text, "node_boot_time_seconds") == 1_795_172_000
    assert value(text, "node_context_switches_total") == 123_456


@pytest.mark.parametrize(
    "odd",
    [
        None,
        7,
        {},
        {"cpu_seconds": 3, "disks": [1], "networks": {"eth0": None}},
        {"cpu_seconds": [None, ["x"]]},
    ],
)
def test_odd_counters_are_left_out(odd: object) -> None:
    names = {name for name, _ in figures(page_text(families_known([view(counters=odd)])))}
    assert "node_load1" in names
    assert not {name for name in names if name.startswith(("node_cpu", "node_disk", "node_network_receive"))}


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), None, "7", True])
def test_odd_figures_are_left_out(odd: object) -> None:
    text = page_text(families_own([view(gpus=[frames.gpu(power_watts=odd)])]))
    assert value(text, "sparkweb_gpu_power_watts") is None


def test_labels_are_escaped() -> None:
    containers = [{"name": ODD, "cpu_percent": 50.0, "memory_bytes": 5}]
    text = page_text(families_own([view(containers=containers)]))
    assert value(text, "sparkweb_container_cpu_ratio", container=ODD) == 0.5


def test_a_silent_node_is_down_and_nothing_else() -> None:
    text = page_text(families_own([NodeView("spark-2", "offline", {})]))
    assert {name for name, _ in figures(text)} == {"sparkweb_node_up"}
    assert value(text, "sparkweb_node_up", node="spark-2") == 0


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool (apt install prometheus)")
def test_promtool_finds_nothing_to_say() -> None:
    text = page_text(families_own([view(), view("two")]))
    said = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (said.returncode, said.stdout + said.stderr) == (0, b"")
    text = page_text(families_known([view(), view("two")]))
    said = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    ours_to_choose = [
        line for line in (said.stdout + said.stderr).decode().splitlines()
        if not line.startswith(("DCGM_", "node_memory_"))
    ]  # fmt: skip
    assert ours_to_choose == [], "the names of others are as they are"


# The pages ------------------------------------------------------------------------


@pytest.fixture
def node(db: None, redis_url: str, settings: Any) -> Any:
    settings.REDIS_URL = redis_url
    shared_streams.cache_clear()
    allowed_networks.cache_clear()
    row = NodeFactory(name="spark-1", status="online")
    stored = {"report": frames.report(now=time.time()), "received_at": time.time(), "boot": "b", "seq": 1}
    shared_streams().put(snapshot_key("spark-1"), orjson.dumps(stored), 600)
    yield row
    shared_streams.cache_clear()
    allowed_networks.cache_clear()


def test_a_key_that_may_read_scrapes_both(node: Node, viewer: User, bearer: Any) -> None:
    client: Client = bearer(viewer, "read")
    own = client.get("/metrics")
    assert own.status_code == 200
    assert own["Content-Type"].startswith("text/plain; version=")
    assert value(own.content, "sparkweb_gpu_power_watts", node="spark-1")
    assert value(client.get("/metrics/known").content, "DCGM_FI_DEV_GPU_TEMP")


def test_launches_and_engines(node: Node, viewer: User, bearer: Any) -> None:
    launch = LaunchFactory(definition=DefinitionFactory(slug="qwen"), node=node, state="ready")
    member = MemberFactory(attempt=AttemptFactory(launch=launch))
    report = frames.report(now=time.time())
    engine = {"requests_running": 2, "kv_cache_percent": 40.0, "generation_tokens_total": 900}
    report["launches"] = [{"member": member.uid, "memory_bytes": 7, "engine": engine}, {"member": None}]
    stored = {"report": report, "received_at": time.time(), "boot": "b", "seq": 2}
    shared_streams().put(snapshot_key("spark-1"), orjson.dumps(stored), 600)
    text = bearer(viewer, "read").get("/metrics").content
    assert value(text, "sparkweb_launch_state", model="qwen", state="ready") == 1
    assert value(text, "sparkweb_model_kv_cache_ratio", model="qwen") == pytest.approx(0.4)
    assert value(text, "sparkweb_model_generation_tokens_total", model="qwen") == 900


def test_a_listed_address_needs_no_key(node: Node, client: Client, settings: Any) -> None:
    assert client.get("/metrics").status_code == 401
    settings.METRICS_ALLOW = ["10.0.0.0/8", "127.0.0.1"]
    allowed_networks.cache_clear()
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="10.1.2.3").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="192.168.1.1").status_code == 401
    assert client.get("/api/nodes/").status_code == 401, "the list opens this page alone"


def test_a_list_that_cannot_be_read_is_said(settings: Any) -> None:
    settings.METRICS_ALLOW = ["everyone"]
    allowed_networks.cache_clear()
    with pytest.raises(EnvironmentInvalid, match="SPARKWEB_METRICS_ALLOW='everyone'"):
        allowed_networks()
    allowed_networks.cache_clear()


def test_the_dashboard_and_the_document_name_only_what_is_told(node: Node, viewer: User, bearer: Any) -> None:
    launch = LaunchFactory(definition=DefinitionFactory(slug="qwen"), node=node, state="ready")
    member = MemberFactory(attempt=AttemptFactory(launch=launch))
    report = frames.report("two", now=time.time())
    engine = {"requests_running": 2, "requests_waiting": 1, "kv_cache_percent": 40.0}
    engine |= {"generation_tokens_total": 900, "prompt_tokens_total": 5}
    entry = {"member": member.uid, "memory_bytes": 7, "gpu_memory_bytes": 7, "engine": engine}
    stored = {"report": report | {"launches": [entry]}, "received_at": time.time(), "boot": "b", "seq": 3}
    shared_streams().put(snapshot_key("spark-1"), orjson.dumps(stored), 600)
    told = {name for name, _ in figures(bearer(viewer, "read").get("/metrics").content)}
    dashboard = (REPOSITORY / "deploy/grafana/sparkweb.json").read_text()
    assert set(re.findall(r"sparkweb_\w+", dashboard)) <= told
    orjson.loads(dashboard)
