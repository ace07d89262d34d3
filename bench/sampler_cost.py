"""What it costs to watch a machine each second: our sampler beside two usual ways.

    python -m bench.sampler_cost --seconds 20 [--json]

CPU as a share of one core, memory as PSS, of
- the sampler child alone,
- the agent's report loop with the sampler, sending to nowhere,
- a script that starts an `nvidia-smi` each second,
- `glances`, where it is installed.

All see the same two-GPU stand-in for NVIDIA's library, one after another in one
run. There is no nvidia-smi where there is no driver, so a C program of 40 lines
takes its place: it loads the same library, asks for four figures and ends. The
real one is larger and opens the driver each time, so its true cost is higher.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil

from bench.figures import percentile, show
from tests.support import nvml

WARM_UP_SECONDS = 3.0

LOOP = """
import signal, time
from metrics_app.agent import ReportLoop
waits = []
def send(report):
    if report["sampled_at"]:
        waits.append(time.time() - report["sampled_at"])
signal.signal(signal.SIGTERM, lambda *_: None)
loop = ReportLoop(send)
loop.start()
signal.pause()
loop.close()
print(*waits[1:])
"""
POLLER = """
import subprocess, sys, time
due = time.monotonic()
while True:
    output = subprocess.run([sys.argv[1]], capture_output=True, text=True, check=True).stdout
    rows = [[float(word) for word in line.split(",")] for line in output.splitlines()]
    due += 1
    time.sleep(max(0, due - time.monotonic()))
"""


@dataclass
class Cost:
    """CPU in percent of one core and PSS in MB, over one run; `output` is what the subject printed."""

    cpu_percent: float
    pss_mb: float
    output: str = ""


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time of a process tree: its living members to the nanosecond, ended children to 10 ms.

    The clock of another process is addressed by its pid (clock_getcpuclockid(3)).
    """
    total = 0.0
    for member in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            total += time.clock_gettime((~member.pid << 3) | 2)
            times = member.cpu_times()
            total += times.children_user + times.children_system
    return total


def pss_bytes(process: psutil.Process) -> int:
    """Return the proportional memory of a process tree."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += member.memory_full_info().pss
    return total


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[tuple[psutil.Process, subprocess.Popen[str]]]:
    """Run `command` with the two-GPU stand-in; end it with SIGTERM."""
    child = subprocess.Popen(
        command, env=nvml.environment("two"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield psutil.Process(child.pid), child
    finally:
        child.kill()
        child.wait()


def measure(command: list[str], seconds: float) -> Cost:
    """Let `command` run, and measure it after a warm-up. Its stdout must not fill a pipe."""
    with running(command) as (process, child):
        time.sleep(WARM_UP_SECONDS)
        began, before = time.monotonic(), cpu_seconds(process)
        time.sleep(seconds)
        spent, lasted = cpu_seconds(process) - before, time.monotonic() - began
        pss = pss_bytes(process)
        child.terminate()
        output, _ = child.communicate(timeout=10)
    if lasted < seconds or child.returncode not in (0, -15):
        raise RuntimeError(f"{' '.join(command[:3])} ended early with {child.returncode}")
    return Cost(100 * spent / lasted, pss / 1e6, output)


def run(seconds: float) -> list[dict[str, Any]]:
    """Measure each subject for `seconds`; return a row of figures for each."""
    python = sys.executable
    loop = measure([python, "-c", LOOP], seconds)
    costs: dict[str, Cost | None] = {
        "report loop with sampler": loop,
        "sampler alone": measure(["sh", "-c", f"exec {python} -m metrics_app.sampler > /dev/null"], seconds),
        "nvidia-smi each second": measure([python, "-c", POLLER, str(nvml.build_poller())], seconds),
        "glances": _glances(seconds),
    }
    rows = [_row(name, cost, loop) for name, cost in costs.items()]
    waits = [1000 * float(word) for word in loop.output.split()]
    rows[0]["read to send, ms p50"] = percentile(waits, 50)
    rows[0]["p99"] = percentile(waits, 99)
    return rows


def _glances(seconds: float) -> Cost | None:
    if importlib.util.find_spec("glances") is None:
        return None
    return measure([sys.executable, "-m", "glances", "--quiet", "--time", "1"], seconds)


def _row(name: str, cost: Cost | None, loop: Cost) -> dict[str, Any]:
    if cost is None:
        return {"watching at 1 Hz": f"{name} (not installed)"}
    return {
        "watching at 1 Hz": name,
        "CPU, % of a core": cost.cpu_percent,
        "PSS, MB": cost.pss_mb,
        "CPU, times our loop": cost.cpu_percent / loop.cpu_percent,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU and memory of watching a machine each second")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each of the runs")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    title = f"Cost of watching a machine with two GPUs (stand-in), {arguments.seconds:g} s each"
    show(title, run(arguments.seconds), arguments.json)


if __name__ == "__main__":
    main()
