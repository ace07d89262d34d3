"""The agent's side of the sampler: it reads the newest line, and replaces what is dead, silent or hung."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metrics_app import sampler_process
from metrics_app.sampler_process import SamplerProcess
from tests.support import nvml as standin
from tests.support.nvml import Control

PRELUDE = """
import json, os, signal, sys, time
def line(number, silent=0.0, status="ok"):
    row = {"index": 0, "uuid": "GPU-1", "name": "card", "state": "ok"}
    found = {"gpu": {"status": status}, "gpus": [row], "host": {}, "sampler": {"gpu_silent_seconds": silent}}
    text = json.dumps({**found, "number": number, "pid": os.getpid(), "arguments": sys.argv[1:]})
    os.write(1, text.encode() + b"\\n")
"""
Make = Callable[[str], SamplerProcess]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[SamplerProcess] = []

    def start(script: str) -> SamplerProcess:
        made.append(SamplerProcess([sys.executable, "-c", PRELUDE + script]))
        return made[-1]

    yield start
    for sampler in made:
        sampler.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler_process, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(sampler_process, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(sampler_process, "KILL_AFTER_SECONDS", 0.2)


def line_where(sampler: SamplerProcess, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    until = time.monotonic() + 15
    while time.monotonic() < until:
        line = sampler.read(0.1)
        if line is not None and holds(line):
            return line
    raise AssertionError(f"no such line within 15 s; the last one was {sampler.last}")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gone(sampler: SamplerProcess, pid: int) -> bool:
    """Whether `pid` ends within 15 s, while `sampler` goes on reading."""
    until = time.monotonic() + 15
    while time.monotonic() < until and alive(pid):
        sampler.read(0.05)
    return not alive(pid)


def test_reading_never_waits_longer_than_asked(make: Make) -> None:
    sampler = make("time.sleep(60)")
    assert sampler.read(0.05) is None


def test_of_lines_that_piled_up_the_newest_counts(make: Make) -> None:
    sampler = make("for number in range(100): line(number)\ntime.sleep(60)")
    line_where(sampler, lambda found: found["number"] == 99)
    assert sampler.last is not None
    assert sampler.last["number"] == 99


def test_half_a_line_waits_for_its_other_half(make: Make) -> None:
    sampler = make(
        "real, parts = os.write, []\n"
        "os.write = lambda fd, data: parts.append(data)\n"
        "line(1)\nos.write = real\n"
        "os.write(1, parts[0][:30]); time.sleep(0.3); os.write(1, parts[0][30:]); time.sleep(60)"
    )
    assert line_where(sampler, lambda found: True)["number"] == 1


def test_line_that_is_not_json_is_passed_over(make: Make) -> None:
    sampler = make("os.write(1, b'\\xff nonsense\\n'); time.sleep(0.3); line(5); time.sleep(60)")
    assert line_where(sampler, lambda found: True)["number"] == 5


@pytest.mark.usefixtures("impatient")
class TestReplacement:
    def test_dead_child_is_started_again(self, make: Make) -> None:
        sampler = make("line(1); time.sleep(60)")
        pid = line_where(sampler, lambda found: True)["pid"]
        os.kill(pid, signal.SIGKILL)
        assert line_where(sampler, lambda found: found["pid"] != pid)["number"] == 1

    def test_child_that_always_dies_is_started_with_growing_pauses(self, make: Make, tmp_path: Path) -> None:
        starts = tmp_path / "starts"
        sampler = make(f"open({str(starts)!r}, 'a').write('x')")
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            sampler.read(0.02)
        assert 2 <= len(starts.read_text()) <= 6  # at 0, 0.05, 0.15, 0.35, 0.75 and 1.55 s at most

    def test_silent_child_is_replaced_even_when_it_ignores_sigterm(self, make: Make) -> None:
        sampler = make("signal.signal(signal.SIGTERM, signal.SIG_IGN); line(1); time.sleep(60)")
        pid = line_where(sampler, lambda found: True)["pid"]
        line_where(sampler, lambda found: found["pid"] != pid)
        assert gone(sampler, pid)

    def test_next_child_is_told_which_cards_were_there(self, make: Make) -> None:
        sampler = make("line(1); time.sleep(0.2)")
        first = line_where(sampler, lambda found: True)
        assert first["arguments"] == ["--gpus", "[]"]
        second = line_where(sampler, lambda found: found["pid"] != first["pid"])
        assert second["arguments"] == ["--gpus", '[[0,"GPU-1","card"]]']

    def test_hung_driver_costs_patience_that_doubles(
        self, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sampler_process, "GPU_SILENT_SECONDS", 10.0)
        sampler = make(
            "for n in range(100):\n"
            "    line(n, silent=n * 5.0, status='error' if n else 'ok')\n"
            "    time.sleep(0.05)"
        )
        first = line_where(sampler, lambda found: True)["pid"]
        second = line_where(sampler, lambda found: found["pid"] != first)
        assert gone(sampler, first)
        line_where(sampler, lambda found: found["pid"] == second["pid"] and found["number"] >= 1)
        line_where(sampler, lambda found: found["pid"] not in (first, second["pid"]))

    def test_missing_program_is_tried_again_and_reading_goes_on(self) -> None:
        sampler = SamplerProcess(["/nonexistent/sampler"])
        assert sampler.read(0.01) is None
        assert sampler.pid is None
        sampler.close()


def test_wake_ends_a_reading_in_another_thread(make: Make) -> None:
    sampler = make("time.sleep(60)")
    reader = threading.Thread(target=sampler.read, args=(30.0,))
    reader.start()
    sampler.wake()
    reader.join(5)
    assert not reader.is_alive()


def test_close_ends_the_child_and_lets_it_tell_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = tmp_path / "trace"
    monkeypatch.setenv("LD_LIBRARY_PATH", str(standin.build()))
    monkeypatch.setenv("NVML_STANDIN_TRACE", str(trace))
    sampler = SamplerProcess()
    line_where(sampler, lambda found: found["gpu"]["status"] == "ok")
    pid = sampler.pid
    sampler.close()
    assert pid is not None
    assert not alive(pid)
    assert "shutdown" in trace.read_text()


@pytest.mark.usefixtures("impatient")
def test_real_sampler_with_a_hung_driver_is_replaced_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler_process, "SILENT_SECONDS", 8.0)
    monkeypatch.setattr(sampler_process, "GPU_SILENT_SECONDS", 2.0)
    control = Control(tmp_path / "control", "gb10")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(standin.build()))
    monkeypatch.setenv("NVML_STANDIN_CONTROL", control.variables["NVML_STANDIN_CONTROL"])
    sampler = SamplerProcess()
    line_where(sampler, lambda found: found["gpu"]["status"] == "ok")
    hung = sampler.pid
    control.set("hang")
    line_where(sampler, lambda found: found["sampler"]["gpu_silent_seconds"] > 1)
    control.set("gb10")  # the driver is well again, but that call never returns
    line_where(sampler, lambda found: found["gpu"]["status"] == "ok" and sampler.pid != hung)
    assert hung is not None
    assert gone(sampler, hung)
    sampler.close()
