"""The report, once a second: what the sampler read, and what each section adds.

Runs in the agent process. Other apps register their sections here
(`report_section`); this module knows none of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from metrics_app.sampler_process import SamplerProcess
from metrics_app.stale import figures_stale
from sparkweb.adapters.cgroups import ContainerCgroups

log = structlog.get_logger(__name__)

REPORT_VERSION = 1
STALE_SECONDS = 3.0
SECTION_LEAD_SECONDS = 0.1
SECTION_WAIT_SECONDS = 0.005
OVERDUE_SECONDS = 1.25
ERROR_LOG_EVERY_SECONDS = 60.0

SectionFunction = Callable[[], Any]
Send = Callable[[dict[str, Any]], None]

_sections: dict[str, SectionFunction] = {}


def report_section(name: str) -> Callable[[SectionFunction], SectionFunction]:
    """Register a function whose JSON-able answer becomes `report[name]`, before the loop starts.

    It is called once a second in a thread of its own and may be slow: the report
    goes without it. What it raises is logged, and its section is then None.
    """

    def register(function: SectionFunction) -> SectionFunction:
        _sections[name] = function
        return function

    return register


class _Section:
    """One section: a thread that asks for it, and its newest answer."""

    def __init__(self, name: str, function: SectionFunction, clock: Callable[[], float]) -> None:
        self.name = name
        self._function = function
        self._clock = clock
        self._asked = threading.Event()
        self._answered = threading.Event()
        self._answer: tuple[float, Any] | None = None
        self._logged_at = float("-inf")
        self._stopped = False
        threading.Thread(target=self._run, name=f"section {name}", daemon=True).start()

    def ask(self) -> None:
        self._answered.clear()
        self._asked.set()

    def take(self, wait_seconds: float) -> tuple[bool, Any]:
        """Return whether there is an answer of the last 3 s, and the answer."""
        self._answered.wait(wait_seconds)
        answer = self._answer
        if answer is None or self._clock() - answer[0] > STALE_SECONDS:
            return False, None
        return True, answer[1]

    def close(self) -> None:
        self._stopped = True
        self._asked.set()

    def _run(self) -> None:
        while self._asked.wait() and not self._stopped:
            self._asked.clear()
            asked_at = self._clock()
            try:
                self._answer = (asked_at, self._function())
            except Exception:  # noqa: BLE001 - one section must not stop the others
                self._log()
            self._answered.set()

    def _log(self) -> None:
        now = self._clock()
        if now - self._logged_at > ERROR_LOG_EVERY_SECONDS:
            self._logged_at = now
            log.exception("section of the report failed", section=self.name)


class ReportLoop:
    """Hands a report to `send` each time the sampler writes a line, or at 1 Hz without it.

    `send` is called in the loop's thread; what it raises is logged and the next
    second goes on. Sections are asked a tenth of a second before the next line
    is due, so that the report does not wait for them.
    """

    def __init__(
        self,
        send: Send,
        sampler: SamplerProcess | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send
        self._sampler = sampler or SamplerProcess()
        self._clock = clock
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="report-loop", daemon=True)
        self._sections: list[_Section] = []

    def start(self) -> None:
        """Start the sampler, a thread for each section registered so far, and the loop."""
        self._sections = [_Section(name, function, self._clock) for name, function in _sections.items()]
        self._thread.start()

    def close(self) -> None:
        """Stop within about two seconds, the sampler included."""
        self._stopped.set()
        if self._thread.is_alive():
            self._sampler.wake()
            self._thread.join(2.0)
        for section in self._sections:
            section.close()

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                self._second()
        finally:
            self._sampler.close()

    def _second(self) -> None:
        """Wait for the next line, or until it is overdue, and send one report."""
        started = self._clock()
        line = self._sampler.read(1.0 - SECTION_LEAD_SECONDS)
        for section in self._sections:
            section.ask()
        if line is None and not self._stopped.is_set():
            overdue = OVERDUE_SECONDS if self._sampler.silent_seconds < STALE_SECONDS else 1.0
            line = self._sampler.read(max(0.0, started + overdue - self._clock()))
        if self._stopped.is_set():
            return
        if line:
            _gpu_memory.update(line)
        try:
            self._send(self._report())
        except Exception:
            log.exception("the report could not be sent")

    def _report(self) -> dict[str, Any]:
        sampler = self._sampler
        stale = sampler.last is None or sampler.silent_seconds > STALE_SECONDS
        figures = figures_stale(sampler.last, sampler.silent_seconds) if stale else sampler.last
        report: dict[str, Any] = {"version": REPORT_VERSION, **(figures or {})}
        why = report["why"] = {}
        until = self._clock() + SECTION_WAIT_SECONDS
        for section in self._sections:
            fresh, report[section.name] = section.take(max(0.0, until - self._clock()))
            if not fresh:
                why[section.name] = "stale"
        return report


class _GpuMemory:
    """Which container holds how much GPU memory, by the last sampler line."""

    def __init__(self) -> None:
        self._held: dict[str, int] | None = None
        self._by_pid: dict[int, int] = {}

    def update(self, line: dict[str, Any]) -> None:
        told = [gpu for gpu in line["gpus"] if "processes" not in gpu["why"]]
        if not told:
            self._held = None
            return
        held: dict[str, int] = {}
        self._by_pid = {
            process["pid"]: process["memory_bytes"] or 0 for gpu in told for process in gpu["processes"]
        }
        for process in (process for gpu in told for process in gpu["processes"]):
            if process["container_id"]:
                before = held.get(process["container_id"], 0)
                held[process["container_id"]] = before + (process["memory_bytes"] or 0)
        self._held = held

    def of_pids(self, pids: set[int]) -> int | None:
        return None if self._held is None else sum(self._by_pid.get(pid, 0) for pid in pids)

    def of(self, container_id: str) -> int | None:
        return None if self._held is None else self._held.get(container_id, 0)


_gpu_memory = _GpuMemory()
_cgroups: ContainerCgroups | None = None
_cgroups_lock = threading.Lock()


def container_figures(container_id: str, pid: int | None) -> dict[str, Any]:
    """Return `cpu_percent`, `memory_bytes`, I/O rates, `pids` and `why` of a container, from its groups.

    `pid` is its first process as the host counts it (Docker's State.Pid), None
    or 0 when unknown. CPU 100 is one core, since the last call; memory is
    without inactive page cache, as `docker stats` counts. See
    `sparkweb.adapters.cgroups`. May be called from any thread.
    """
    global _cgroups
    with _cgroups_lock:
        _cgroups = _cgroups or ContainerCgroups()
        return _cgroups.figures(container_id, pid)


def container_group(container_id: str, pid: int | None) -> Path | None:
    """Return the control group folder that lists a container's processes; None where it is hidden."""
    global _cgroups
    with _cgroups_lock:
        _cgroups = _cgroups or ContainerCgroups()
        return _cgroups.directory(container_id, pid)


def gpu_memory_held(container_id: str) -> int | None:
    """Return the bytes that a container's processes hold on all GPUs, by the last second's figures.

    None where no GPU tells its processes. On unified memory this is RAM that
    the container's memory group may not count, so add it to `memory_bytes`.
    """
    return _gpu_memory.of(container_id)


def gpu_memory_of(pids: set[int]) -> int | None:
    """Return the bytes that these processes hold on all GPUs; None where no GPU tells its processes."""
    return _gpu_memory.of_pids(pids)
