"""From one report to the figures that history keeps, by series key. Pure.

A series key is a metric's name, or `metric|subject` where a node has several: a GPU's
index, a mount point, an interface, a container's name, a model's slug.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

KEY_LIMIT = 160
SERIES_LIMIT = 10_000


@dataclass(frozen=True)
class Metric:
    """One kind of figure. `unit`: percent, bytes, bytes/s, W, °C, MHz, J, /s, s or "" for a count.

    `low` and `high` bound what can be true: drivers answer all-ones or 9.2e18 % for "I do not know"
    (reference: NVIDIA/gpu-monitoring-tools issue 152), and that is no figure.
    """

    name: str
    label: str
    unit: str
    scope: str
    low: float = 0.0
    high: float = 2.0**60


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("cpu_percent", "CPU", "percent", "host", high=100),
        Metric("load", "Load, 1 min", "", "host", high=1e6),
        Metric("memory_used_bytes", "Memory used", "bytes", "host"),
        Metric("memory_available_bytes", "Memory available", "bytes", "host"),
        Metric("memory_available_percent", "Memory available", "percent", "host", high=100),
        Metric("memory_reclaimable_bytes", "Memory reclaimable", "bytes", "host"),
        Metric("swap_used_bytes", "Swap used", "bytes", "host"),
        Metric("temperature_celsius", "Temperature", "°C", "host", low=-50, high=200),
        Metric("pressure_cpu_percent", "Waiting for CPU", "percent", "host", high=100),
        Metric("pressure_memory_percent", "Waiting for memory", "percent", "host", high=100),
        Metric("pressure_io_percent", "Waiting for disks", "percent", "host", high=100),
        Metric("swap_in_bytes_per_second", "Read from swap", "bytes/s", "host", high=1e13),
        Metric("swap_out_bytes_per_second", "Written to swap", "bytes/s", "host", high=1e13),
        Metric("gpu_up", "Answers", "", "gpu", high=1),
        Metric("gpu_utilization_percent", "Utilisation", "percent", "gpu", high=100),
        Metric("gpu_memory_bytes", "Memory held", "bytes", "gpu"),
        Metric("gpu_power_watts", "Power", "W", "gpu", high=5_000),
        Metric("gpu_temperature_celsius", "Temperature", "°C", "gpu", low=-50, high=200),
        Metric("gpu_clock_mhz", "SM clock", "MHz", "gpu", high=20_000),
        Metric("gpu_fan_percent", "Fan", "percent", "gpu", high=300),
        Metric("gpu_throttled", "Held back by heat or power", "", "gpu", high=1),
        Metric("gpu_performance_state", "P-state", "", "gpu", high=15),
        Metric("gpu_ecc_corrected_total", "Memory errors corrected", "", "gpu", high=2.0**48),
        Metric("gpu_ecc_uncorrected_total", "Memory errors not corrected", "", "gpu", high=2.0**48),
        Metric("disk_used_bytes", "Used", "bytes", "disk"),
        Metric("disk_used_percent", "Used", "percent", "disk", high=100),
        Metric("disk_read_bytes_per_second", "Read", "bytes/s", "disk", high=1e13),
        Metric("disk_write_bytes_per_second", "Written", "bytes/s", "disk", high=1e13),
        Metric("network_receive_bytes_per_second", "Received", "bytes/s", "network", high=1e13),
        Metric("network_transmit_bytes_per_second", "Sent", "bytes/s", "network", high=1e13),
        Metric("container_cpu_percent", "CPU", "percent", "container", high=1e6),
        Metric("container_memory_bytes", "Memory", "bytes", "container"),
        Metric("container_io_read_bytes_per_second", "Read", "bytes/s", "container", high=1e13),
        Metric("container_io_write_bytes_per_second", "Written", "bytes/s", "container", high=1e13),
        Metric("container_pids", "Tasks", "", "container", high=1e7),
        Metric("model_memory_bytes", "Memory with the GPU's", "bytes", "model"),
        Metric("model_gpu_memory_bytes", "GPU memory held", "bytes", "model"),
        Metric("model_requests_running", "Requests running", "", "model", high=1e7),
        Metric("model_requests_waiting", "Requests waiting", "", "model", high=1e7),
        Metric("model_kv_cache_percent", "KV cache", "percent", "model", high=100),
        Metric("model_prompt_tokens_per_second", "Prompt tokens", "/s", "model", high=1e9),
        Metric("model_generation_tokens_per_second", "Generated tokens", "/s", "model", high=1e9),
        Metric("sampler_cpu_percent", "Sampler's own CPU", "percent", "agent", high=10_000),
        Metric("sampler_late_seconds", "Sampler late", "s", "agent", high=3_600),
    )
}
SCOPES = {
    "host": "Machine",
    "gpu": "GPU",
    "disk": "Disk",
    "network": "Network",
    "container": "Container",
    "model": "Model",
    "agent": "SparkWeb's agent",
}
HOST = (
    "cpu_percent",
    "memory_used_bytes",
    "memory_available_bytes",
    "memory_reclaimable_bytes",
    "swap_used_bytes",
    "temperature_celsius",
    "swap_in_bytes_per_second",
    "swap_out_bytes_per_second",
)
CONTAINER = (
    "cpu_percent",
    "memory_bytes",
    "io_read_bytes_per_second",
    "io_write_bytes_per_second",
    "pids",
)
GPU = {
    "gpu_utilization_percent": "utilization_percent",
    "gpu_power_watts": "power_watts",
    "gpu_temperature_celsius": "temperature_celsius",
    "gpu_clock_mhz": "clock_sm_mhz",
    "gpu_fan_percent": "fan_percent",
    "gpu_performance_state": "performance_state",
    "gpu_ecc_corrected_total": "ecc_corrected_total",
    "gpu_ecc_uncorrected_total": "ecc_uncorrected_total",
}
HELD_BACK = {"power_cap", "hardware_slowdown", "software_thermal", "hardware_thermal", "power_brake"}
"""The throttle reasons that take something away; an idle GPU's low clock is none."""

Figures = dict[str, float]
Source = Callable[[str, dict[str, Any]], Figures]
SOURCES: list[Source] = []
"""Each gives further figures of a report (node name, report); apps add theirs in `ready()`."""


def key_make(metric: str, subject: object = "") -> str:
    """The series key of a metric and its subject."""
    return f"{metric}|{subject}" if subject != "" else metric


def key_metric(key: str) -> Metric | None:
    """The metric that a key belongs to; None for one that does not exist."""
    return METRICS.get(key.partition("|")[0])


def key_subject(key: str) -> str:
    """The subject of a key: "0", "/data", "eth0"; "" for the machine's own figures."""
    return key.partition("|")[2]


def report_figures(node_name: str, report: dict[str, Any]) -> Figures:
    """Return the figures of one report by series key; what is unknown or cannot be true is left out."""
    found: Figures = {}
    for key, value in _all(report):
        figure_put(found, key, value)
    for source in SOURCES:
        for key, figure in source(node_name, report).items():
            figure_put(found, key, figure)
    return found


def figure_put(found: Figures, key: str, value: Any) -> None:
    """Keep a figure if it is a number that can be true."""
    metric = key_metric(key)
    if metric is None or isinstance(value, bool) or not isinstance(value, int | float):
        return
    if len(key) > KEY_LIMIT or "\0" in key or len(found) >= SERIES_LIMIT:
        return
    if math.isfinite(value) and metric.low <= value <= metric.high:
        found[key] = float(value)


def _all(report: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    host = _dict(report.get("host"))
    for name in HOST:
        yield name, host.get(name)
    load = host.get("load")
    pressure = _dict(host.get("pressure"))
    for name in ("cpu", "memory", "io"):
        yield f"pressure_{name}_percent", _dict(pressure.get(name)).get("some_percent")
    yield (
        "memory_available_percent",
        _share(host.get("memory_available_bytes"), host.get("memory_total_bytes")),
    )
    yield "load", load[0] if isinstance(load, list) and load else None
    yield from _gpus(report)
    for disk in _rows(host.get("disks")):
        for name in ("used_bytes", "read_bytes_per_second", "write_bytes_per_second"):
            yield key_make(f"disk_{name}", disk.get("mount")), disk.get(name)
        share = _share(disk.get("used_bytes"), disk.get("total_bytes"))
        yield key_make("disk_used_percent", disk.get("mount")), share
    for link in _rows(host.get("networks")):
        for name in ("receive_bytes_per_second", "transmit_bytes_per_second"):
            yield key_make(f"network_{name}", link.get("name")), link.get(name)
    for container in _rows(report.get("containers")):
        for name in CONTAINER:
            yield key_make(f"container_{name}", container.get("name")), container.get(name)
    sampler = _dict(report.get("sampler"))
    yield "sampler_cpu_percent", sampler.get("cost_cpu_percent")
    yield "sampler_late_seconds", sampler.get("late_seconds")


def _gpus(report: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for gpu in _rows(report.get("gpus")):
        for name, field in GPU.items():
            yield key_make(name, gpu.get("index")), gpu.get(field)
        if gpu.get("state") in ("ok", "lost"):
            yield key_make("gpu_up", gpu.get("index")), int(gpu["state"] == "ok")
        reasons = gpu.get("throttle_reasons")
        if isinstance(reasons, list):
            yield key_make("gpu_throttled", gpu.get("index")), int(any(word in HELD_BACK for word in reasons))
        held, used = gpu.get("memory_held_bytes"), gpu.get("memory_used_bytes")
        yield key_make("gpu_memory_bytes", gpu.get("index")), used if used is not None else held


def _share(part: Any, whole: Any) -> float | None:
    if isinstance(part, int | float) and isinstance(whole, int | float) and whole > 0:
        return 100 * part / whole
    return None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _rows(value: Any) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
