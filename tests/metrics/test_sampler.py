"""The sampler child: what it writes, and what it does when the driver hangs or its reader goes away."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from metrics_app.sampler import GpuReader, ticks
from sparkweb.adapters.nvml import Reading
from tests.support import nvml as standin
from tests.support.nvml import Control

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    children: list[subprocess.Popen[bytes]] = []

    def run(profile: str, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-m", "metrics_app.sampler", *arguments],
            stdout=subprocess.PIPE,
            env=standin.environment(profile, **variables),
        )
        children.append(child)
        return child

    yield run
    for child in children:
        child.kill()
        child.wait()
        if child.stdout:
            child.stdout.close()


def line(child: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert child.stdout is not None
    return json.loads(child.stdout.readline())


def line_where(child: subprocess.Popen[bytes], holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the first of the next 15 lines for which `holds` is true."""
    for _ in range(15):
        found = line(child)
        if holds(found):
            return found
    raise AssertionError(f"no such line; the last one says {found['gpu']}")


def test_line_has_every_part(start: Start) -> None:
    child = start("two")
    first, second = line(child), line(child)
    assert set(first) == {"gpu", "gpus", "host", "counters", "sampled_at", "sampler"}
    assert [gpu["state"] for gpu in first["gpus"]] == ["ok", "ok"]
    assert first["host"]["cpu_percent"] is not None  # the reading that differences start from came before
    assert 0.9 < second["sampled_at"] - first["sampled_at"] < 1.1
    assert second["sampler"]["gpu_silent_seconds"] == 0
    assert second["sampler"]["rss_bytes"] > 0


def test_host_figures_go_on_while_the_driver_hangs(start: Start, tmp_path: Path) -> None:
    control = Control(tmp_path / "control", "two")
    child = start("two", **control.variables)
    before = line_where(child, lambda found: found["gpu"]["status"] == "ok")
    control.set("hang")
    after = line_where(child, lambda found: found["gpu"]["status"] == "error")
    assert "has not answered for" in after["gpu"]["message"]
    assert [gpu["uuid"] for gpu in after["gpus"]] == [gpu["uuid"] for gpu in before["gpus"]]
    assert after["gpus"][0]["power_watts"] is None
    assert after["gpus"][0]["why"]["power_watts"] == "stale"
    assert after["host"]["cpu_percent"] is not None
    assert after["sampler"]["gpu_silent_seconds"] >= 3


def test_driver_that_hangs_from_the_start_hides_no_host_figures(start: Start) -> None:
    first = line(start("hang_init"))
    assert first["gpu"]["message"] == "The NVIDIA driver is being opened"
    assert first["gpus"] == []
    assert first["host"]["memory_available_bytes"] > 0


def test_terminated_sampler_tells_the_driver(start: Start, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    child = start("discrete", NVML_STANDIN_TRACE=str(trace))
    line_where(child, lambda found: found["gpu"]["status"] == "ok")
    child.send_signal(signal.SIGTERM)
    assert child.wait(5) == 0
    assert trace.read_text().split()[::2] == ["init", "shutdown"]


def test_terminated_sampler_does_not_wait_for_a_hung_driver(start: Start) -> None:
    child = start("hang")
    line(child)
    child.send_signal(signal.SIGTERM)
    assert child.wait(5) == 0


def test_sampler_ends_when_its_reader_is_gone(start: Start) -> None:
    child = start("discrete")
    line(child)
    assert child.stdout is not None
    child.stdout.close()
    assert child.wait(5) == 0


def test_card_of_an_earlier_sampler_is_shown_as_lost(start: Start) -> None:
    child = start("discrete", "--gpus", json.dumps([[3, "GPU-gone", "NVIDIA H200"]]))
    found = line_where(child, lambda found: found["gpu"]["status"] == "ok")
    assert [(gpu["name"], gpu["state"]) for gpu in found["gpus"]] == [
        ("NVIDIA GeForce RTX 4090", "ok"),
        ("NVIDIA H200", "lost"),
    ]


def test_sampler_loads_nothing_heavy() -> None:
    heavy = ("django", "celery", "kombu", "structlog", "asyncio", "docker", "redis")
    code = f"import metrics_app.sampler, sys; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


class Clock:
    """A clock that a sleep moves; each look at it costs a little, as work does."""

    def __init__(self, per_look: float = 0.0) -> None:
        self.now = 50.0
        self.per_look = per_look

    def __call__(self) -> float:
        self.now += self.per_look
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds + 0.0004  # sleeps last a little longer than asked


def test_ticks_do_not_drift() -> None:
    clock = Clock(per_look=0.001)
    lates = list(islice(ticks(1.0, clock, clock.sleep), 500))
    assert max(lates) < 0.01
    assert clock.now == pytest.approx(50 + 499, abs=0.01)


def test_ticks_missed_while_the_machine_slept_are_left_out() -> None:
    clock = Clock()
    at = ticks(1.0, clock, clock.sleep)
    next(at)
    clock.now += 7.3
    next(at)
    assert clock.now == pytest.approx(58, abs=0.01)


class FakeNvml:
    """A driver that answers when the test lets it."""

    def __init__(self) -> None:
        self.may_answer = threading.Semaphore(0)
        self.readings = 0

    def read(self, host_memory_total_bytes: int | None) -> Reading:
        self.may_answer.acquire()
        self.readings += 1
        summary = {"status": "ok", "message": None, "unified_memory": False}
        return Reading(
            summary, [{"index": 0, "uuid": "u", "name": "n", "state": "ok", "watts": self.readings}]
        )


def test_slow_reading_shows_the_one_before_until_it_is_three_seconds_old() -> None:
    nvml, now = FakeNvml(), [0.0]
    reader = GpuReader(nvml, lambda: now[0])  # type: ignore[arg-type]
    nvml.may_answer.release()
    reader.ask(None)
    assert reader.take(5).gpus[0]["watts"] == 1
    reader.ask(None)
    now[0] += 2
    assert reader.take(0).gpus[0]["watts"] == 1
    now[0] += 2
    assert reader.take(0).gpus[0]["watts"] is None
    reader.ask(None)  # not asked twice at once
    nvml.may_answer.release()
    assert reader.take(5).gpus[0]["watts"] == 2
    assert reader.silent_seconds == 0
