"""The report, once a second, whatever its parts do."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from metrics_app import agent
from metrics_app.agent import ReportLoop, container_figures, gpu_memory_held, report_section
from sparkweb.adapters.host import Host
from tests.support import nvml as standin

ID = "7d" * 32
OTHER = "1e" * 32


def gpu_row(index: int, processes: list[dict[str, Any]], why: dict[str, str] | None = None) -> dict[str, Any]:
    row = {"index": index, "uuid": f"GPU-{index}", "name": "card", "state": "ok", "power_watts": 50.0}
    return {**row, "processes": processes, "why": why or {}}


def sampler_line(*gpus: dict[str, Any]) -> dict[str, Any]:
    host = Host()
    row = host.read()
    host.close()
    summary = {"status": "ok", "message": None, "driver": "580", "cuda": "13.0", "unified_memory": True}
    return {"gpu": summary, "gpus": list(gpus), "host": row, "sampled_at": 5.0, "sampler": {"rss_bytes": 1}}


class FakeSampler:
    """Lines that the test gives, and an age that it sets."""

    def __init__(self) -> None:
        self.lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.last: dict[str, Any] | None = None
        self.silent_seconds = 0.0
        self.closed = threading.Event()

    def read(self, timeout_seconds: float) -> dict[str, Any] | None:
        try:
            line = self.lines.get(timeout=timeout_seconds)
        except queue.Empty:
            return None
        self.last = line or self.last
        return line

    def wake(self) -> None:
        self.lines.put(None)

    def close(self) -> None:
        self.closed.set()


class Reports:
    """Collects what the loop sends; may refuse."""

    def __init__(self) -> None:
        self.sent: queue.Queue[dict[str, Any]] = queue.Queue()
        self.fail = False

    def __call__(self, report: dict[str, Any]) -> None:
        self.sent.put(report)
        if self.fail:
            raise ConnectionError("Redis is gone")

    def next(self, holds: Callable[[dict[str, Any]], bool] = lambda report: True) -> dict[str, Any]:
        for _ in range(20):
            report = self.sent.get(timeout=10)
            if holds(report):
                return report
        raise AssertionError("no such report among twenty")


@pytest.fixture(autouse=True)
def no_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "_sections", {})


@pytest.fixture
def sampler() -> FakeSampler:
    return FakeSampler()


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def loop(sampler: FakeSampler, reports: Reports) -> Iterator[ReportLoop]:
    made = ReportLoop(reports, sampler)  # type: ignore[arg-type]
    yield made
    if made._thread.is_alive():
        made.close()


def test_line_becomes_a_report_with_every_section(
    sampler: FakeSampler, reports: Reports, loop: ReportLoop
) -> None:
    report_section("agent")(lambda: {"version": "0.1.0"})
    report_section("containers")(list)
    loop.start()
    sampler.lines.put(sampler_line(gpu_row(0, [])))
    report = reports.next(lambda found: not found["why"])
    assert set(report) == {
        "version", "gpu", "gpus", "host", "sampled_at", "sampler", "agent", "containers", "why",
    }  # fmt: skip
    assert report["version"] == 1
    assert report["agent"] == {"version": "0.1.0"}


def test_section_that_raises_is_null_and_the_others_are_not(
    sampler: FakeSampler, reports: Reports, loop: ReportLoop
) -> None:
    def broken() -> None:
        raise RuntimeError("docker went away")

    report_section("containers")(broken)
    report_section("launches")(lambda: [1])
    loop.start()
    sampler.lines.put(sampler_line())
    report = reports.next(lambda found: found["launches"] is not None)
    assert report["containers"] is None
    assert report["why"] == {"containers": "stale"}


def test_section_that_blocks_does_not_delay_the_report(
    sampler: FakeSampler, reports: Reports, loop: ReportLoop
) -> None:
    release = threading.Event()

    def slow() -> list[int]:
        release.wait()
        return [1]

    report_section("containers")(slow)
    loop.start()
    sampler.lines.put(sampler_line())
    assert reports.next()["containers"] is None
    sampler.lines.put(sampler_line())
    assert reports.next()["why"] == {"containers": "stale"}
    release.set()
    sampler.lines.put(sampler_line())
    assert reports.next(lambda found: found["containers"] is not None)["containers"] == [1]


def test_answer_that_is_older_than_three_seconds_is_not_shown(reports: Reports, sampler: FakeSampler) -> None:
    now = [0.0]
    answers = iter([[1]])
    report_section("containers")(lambda: next(answers))  # the second time it raises
    loop = ReportLoop(reports, sampler, clock=lambda: now[0])  # type: ignore[arg-type]
    loop.start()
    sampler.lines.put(sampler_line())
    reports.next(lambda found: found["containers"] == [1])
    now[0] = 3.5
    sampler.lines.put(sampler_line())
    assert reports.next(lambda found: found["containers"] is None)["why"] == {"containers": "stale"}
    loop.close()


def test_silent_sampler_makes_figures_stale_and_reports_go_on(
    sampler: FakeSampler, reports: Reports, loop: ReportLoop
) -> None:
    report_section("launches")(list)
    sampler.last = sampler_line(gpu_row(0, [{"pid": 1, "container_id": ID, "memory_bytes": 5, "name": "x"}]))
    sampler.silent_seconds = 4.0
    loop.start()
    report = reports.next(lambda found: not found["why"])
    assert report["gpu"]["status"] == "error"
    assert "has not answered for 4 s" in report["gpu"]["message"]
    assert report["gpus"][0]["power_watts"] is None
    assert report["gpus"][0]["why"]["power_watts"] == "stale"
    assert report["gpus"][0]["processes"] == []
    assert report["host"]["cpu_percent"] is None
    assert report["host"]["memory_total_bytes"] > 0
    assert report["launches"] == []


def test_sampler_that_never_answered_is_reported(
    sampler: FakeSampler, reports: Reports, loop: ReportLoop
) -> None:
    loop.start()
    report = reports.next()
    assert (report["gpu"]["status"], report["gpus"], report["sampled_at"]) == ("error", [], None)
    assert report["host"]["why"]["cpu_percent"] == "stale"


def test_report_that_cannot_be_sent_does_not_stop_the_next(
    sampler: FakeSampler, reports: Reports, loop: ReportLoop
) -> None:
    reports.fail = True
    loop.start()
    for _ in range(3):
        sampler.lines.put(sampler_line())
        reports.next()


def test_close_ends_the_sampler_and_sends_nothing_more(
    sampler: FakeSampler, reports: Reports, loop: ReportLoop
) -> None:
    loop.start()
    sampler.lines.put(sampler_line())
    reports.next()
    loop.close()
    assert sampler.closed.is_set()
    assert reports.sent.empty()


def test_gpu_memory_is_counted_by_container(sampler: FakeSampler, reports: Reports, loop: ReportLoop) -> None:
    def process(container_id: str | None, memory_bytes: int | None) -> dict[str, Any]:
        return {"pid": 1, "name": "x", "memory_bytes": memory_bytes, "container_id": container_id}

    loop.start()
    sampler.lines.put(
        sampler_line(
            gpu_row(0, [process(ID, 100), process(None, 7), process(OTHER, None)]),
            gpu_row(1, [process(ID, 20)]),
        )
    )
    reports.next()
    assert (gpu_memory_held(ID), gpu_memory_held(OTHER), gpu_memory_held("ab" * 32)) == (120, 0, 0)
    sampler.lines.put(sampler_line(gpu_row(0, [], {"processes": "hidden"})))
    reports.next()
    assert gpu_memory_held(ID) is None


def test_container_that_does_not_exist_has_no_figures() -> None:
    figures = container_figures(ID, None)
    assert set(figures["why"].values()) == {"hidden"}
    assert set(figures["why"]) == {name for name, value in figures.items() if value is None}


def test_whole_path_with_a_gb10(reports: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(standin.build()))
    monkeypatch.setenv("NVML_STANDIN_PROFILE", "gb10")
    loop = ReportLoop(reports)
    loop.start()
    try:
        report = reports.next(lambda found: found["gpu"]["status"] == "ok")
    finally:
        loop.close()
    (gpu,) = report["gpus"]
    assert report["gpu"]["unified_memory"] is True
    assert gpu["memory_total_bytes"] is None
    assert gpu["memory_held_bytes"] > 0
    assert report["host"]["memory_available_bytes"] > 0
