"""What the memory guardian costs while nothing happens, and how fast it ends a start when it must.

    python -m bench.guardian --seconds 30 --rounds 10 [--json]

CPU as a share of one core and PSS of the guardian with memory in plenty (it
looks once a second) and near the floor (ten times a second), beside the least
that any Python process costs that reads /proc/meminfo once a second, and beside
`earlyoom` where it is installed. Then, near the floor, the time from the moment
that the memory figure falls below it until the victim, a `sleep`, has ended;
beside it the bare time of SIGKILL and wait. Memory is a file that this program
writes; nothing on the machine is short.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from bench.figures import percentile, show
from bench.sampler_cost import cpu_seconds, pss_bytes
from sparkweb.guardian.decide import Victim
from sparkweb.guardian.keeper import GuardianSettings, MemoryGuardian
from sparkweb.guardian.killing import start_ticks
from tests.support.guardian import FakeMeminfo

SETTINGS = GuardianSettings(floor_mb=100, lower_floor_mb=50, horizon_seconds=0)
PLENTY_MIB, NEAR_MIB, SHORT_MIB = 1000, 150, 90
STARTS_WITHIN_SECONDS = 60.0
FLOOR = """
import time
while True:
    open("/proc/meminfo").read()
    time.sleep(1)
"""


class Bench:
    """A guardian over a folder of its own, and the victim that it has to choose."""

    def __init__(self, folder: Path) -> None:
        self.memory = FakeMeminfo(folder / "meminfo", available_mib=PLENTY_MIB)
        self.victims: list[Victim] = []
        self.keeper = MemoryGuardian(
            folder / "guardian", SETTINGS, [lambda: list(self.victims)], lambda act: None,
            meminfo=self.memory.path,
        )  # fmt: skip
        self.keeper.start()
        until = time.monotonic() + STARTS_WITHIN_SECONDS
        while not self.keeper.section()["pid"] and time.monotonic() < until:
            time.sleep(0.05)

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.keeper.section()["pid"])

    def close(self) -> None:
        self.keeper.close()
        self.memory.close()

    def reaction_ms(self, number: int) -> float:
        """Milliseconds from the first figure below the floor until the victim has ended."""
        self.memory.set(NEAR_MIB)
        victim = subprocess.Popen(["sleep", "600"])
        # Stands for a container's id: text that /proc names for the victim.
        key = f"victim-{number}"
        self.victims = [Victim(key, "start", key, ":/", pid=victim.pid, start_ticks=start_ticks(victim.pid))]
        while key not in ((self.keeper._fresh_status() or {}).get("reach") or {}):
            time.sleep(0.02)
        time.sleep(0.5)
        began = time.monotonic()
        self.memory.set(SHORT_MIB)
        victim.wait()
        took = time.monotonic() - began
        self.memory.set(PLENTY_MIB)
        self.victims = []
        time.sleep(4.0)  # the guardian waits this long before it would choose again
        return 1000 * took


def cost(process: psutil.Process, seconds: float) -> dict[str, float]:
    began, before = time.monotonic(), cpu_seconds(process)
    time.sleep(seconds)
    spent, lasted = cpu_seconds(process) - before, time.monotonic() - began
    return {"CPU, % of a core": 100 * spent / lasted, "PSS, MB": pss_bytes(process) / 1e6}


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[psutil.Process]:
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1.0)
        yield psutil.Process(child.pid)
    finally:
        child.kill()
        child.wait()


def bare_kill_ms() -> float:
    child = subprocess.Popen(["sleep", "600"])
    began = time.monotonic()
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    return 1000 * (time.monotonic() - began)


def costs(bench: Bench, seconds: float) -> list[dict[str, Any]]:
    subjects: dict[str, dict[str, float] | None] = {
        "guardian, memory in plenty": cost(bench.process, seconds)
    }
    bench.memory.set(NEAR_MIB)
    time.sleep(2.0)
    subjects["guardian, near the floor"] = cost(bench.process, seconds)
    bench.memory.set(PLENTY_MIB)
    with running([sys.executable, "-S", "-c", FLOOR]) as floor:
        least = cost(floor, seconds)
    subjects["Python that reads /proc/meminfo each second"] = least
    subjects["earlyoom"] = None
    if program := shutil.which("earlyoom"):
        with running([program, "--dryrun", "-r", "3600"]) as peer:
            subjects["earlyoom"] = cost(peer, seconds)
    return [_row(name, figures, least) for name, figures in subjects.items()]


def _row(name: str, figures: dict[str, float] | None, least: dict[str, float]) -> dict[str, Any]:
    if figures is None:
        return {"subject": f"{name} (not installed)"}
    times = figures["CPU, % of a core"] / least["CPU, % of a core"]
    return {"subject": name, **figures, "CPU, times the least": times}


def reactions(bench: Bench, rounds: int) -> list[dict[str, Any]]:
    ours = [bench.reaction_ms(number) for number in range(rounds)]
    bare = [bare_kill_ms() for _ in range(rounds)]
    return [
        {"from below the floor to ended": name, "ms p50": percentile(row, 50), "p99": percentile(row, 99)}
        for name, row in (("guardian, near the floor", ours), ("SIGKILL and wait alone", bare))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost and speed of the memory guardian")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each of the runs")
    parser.add_argument("--rounds", type=int, default=10, help="how many victims")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        try:
            title = f"Cost of the memory guardian, {arguments.seconds:g} s each"
            show(title, costs(bench, arguments.seconds), arguments.json)
            show("How fast it ends a start", reactions(bench, arguments.rounds), arguments.json)
        finally:
            bench.close()


if __name__ == "__main__":
    main()
