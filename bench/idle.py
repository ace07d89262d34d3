"""What an idle house costs: CPU share of one core and PSS of every process of `up`,
with one dashboard open in Chromium; beside `glances` and subprocess polling see bench.sampler_cost.

    SPARKWEB_TEST_DOCKER_HOST=unix://… python -m bench.idle [--seconds 60] [--json]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from bench.browser import dashboard_open
from bench.figures import show
from tests.support.stack import Stack

TARGETS = {"all": (6.0, 400.0), "agent with sampler": (3.0, 150.0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    host = os.environ.get("SPARKWEB_TEST_DOCKER_HOST", "unix:///var/run/docker.sock")
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), docker_host=host) as stack:
        stack.wait_online()
        with dashboard_open(stack):
            rows = measure(stack, options.seconds)
    show("idle", rows, options.json)


def measure(stack: Stack, seconds: float) -> list[dict[str, Any]]:
    """Cost by process over `seconds`, after 15 s to settle."""
    time.sleep(15)
    assert stack.process is not None
    supervisor = psutil.Process(stack.process.pid)
    agent = stack.child("agent")
    groups = {
        "supervisor": [supervisor],
        "redis": [stack.child("redis")],
        "web": [stack.child("web")],
        "control": [stack.child("control")],
        "archive": [stack.child("archive")],
        "agent with sampler": [agent, *agent.children(recursive=True)],
    }
    before = {name: cpu_seconds(processes) for name, processes in groups.items()}
    began = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    rows: list[dict[str, Any]] = [
        {
            "process": name,
            "cpu_percent": 100 * (cpu_seconds(processes) - before[name]) / took,
            "pss_mb": sum(process.memory_full_info().pss for process in processes) / 1e6,
        }
        for name, processes in groups.items()
    ]
    total = {key: sum(row[key] for row in rows) for key in ("cpu_percent", "pss_mb")}
    rows.append({"process": "all"} | total)
    for row in rows:
        if row["process"] in TARGETS:
            row["target_cpu_percent"], row["target_mb"] = TARGETS[row["process"]]
    return rows


def cpu_seconds(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


if __name__ == "__main__":
    main()
