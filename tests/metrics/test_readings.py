"""Readings of heat, want and containers, into history and Prometheus; an older agent tells none of them."""

from __future__ import annotations

from typing import Any

import pytest

from metrics_app.history.figures import report_figures
from metrics_app.prometheus.own import families_own
from metrics_app.prometheus.page import NodeView, page_text
from tests.support import frames

BUSY = {"name": "vllm", "io_read_bytes_per_second": 5, "io_write_bytes_per_second": 7, "pids": 12}
NEW_GPU = (
    "throttle_reasons",
    "performance_state",
    "ecc_corrected_total",
    "ecc_uncorrected_total",
    "mig_enabled",
)
NEW_HOST = ("pressure", "swap_in_bytes_per_second", "swap_out_bytes_per_second", "sensors")


def report(**gpu: Any) -> dict[str, Any]:
    return {"gpus": [frames.gpu(**gpu)], "host": frames.host(), "containers": [BUSY], "gpu": {"status": "ok"}}


def page(told: dict[str, Any]) -> str:
    return page_text(families_own([NodeView("spark-1", "online", told)])).decode()


@pytest.mark.parametrize(
    ("reasons", "held_back"),
    [
        ([], 0),
        (["idle"], 0),
        (["application_clocks", "sync_boost"], 0),
        (["power_cap"], 1),
        (["idle", "hardware_thermal"], 1),
        (None, None),
    ],
)
def test_an_idle_clock_is_not_held_back(reasons: list[str] | None, held_back: int | None) -> None:
    assert report_figures("spark-1", report(throttle_reasons=reasons)).get("gpu_throttled|0") == held_back


def test_new_figures_are_kept() -> None:
    figures = report_figures("spark-1", report(performance_state=8, ecc_corrected_total=3))
    assert figures["pressure_cpu_percent"] == 2.1
    assert figures["swap_out_bytes_per_second"] == 0
    assert (figures["gpu_performance_state|0"], figures["gpu_ecc_corrected_total|0"]) == (8, 3)
    assert figures["container_io_write_bytes_per_second|vllm"] == 7
    assert figures["container_pids|vllm"] == 12


def test_new_figures_are_on_the_page() -> None:
    text = page(report(throttle_reasons=["hardware_thermal"], ecc_corrected_total=3))
    assert (
        'sparkweb_gpu_throttle{gpu="0",node="spark-1",reason="hardware_thermal",uuid="GPU-0000"} 1.0' in text
    )
    assert 'kind="corrected"' in text
    assert 'sparkweb_host_pressure_ratio{kind="some",node="spark-1",resource="cpu"} 0.021' in text
    assert 'sparkweb_sensor_temperature_celsius{node="spark-1",sensor="acpitz temp1"} 51.0' in text
    assert 'sparkweb_container_pids{container="vllm",node="spark-1"} 12.0' in text


def test_a_report_of_an_older_agent_lacks_them() -> None:
    old = report()
    for name in NEW_GPU:
        del old["gpus"][0][name]
    for name in NEW_HOST:
        del old["host"][name]
    old["containers"] = [{"name": "vllm", "cpu_percent": 1.0, "memory_bytes": 5}]
    assert "gpu_throttled|0" not in report_figures("spark-1", old)
    assert "pressure" not in page(old)


@pytest.mark.parametrize("odd", ["x", 5, [1], {"cpu": 7}, {"cpu": {"some_percent": "x"}}])
def test_odd_pressure_is_no_figure(odd: Any) -> None:
    told = report()
    told["host"]["pressure"] = odd
    assert "pressure_cpu_percent" not in report_figures("spark-1", told)
    assert "pressure" not in page(told)
