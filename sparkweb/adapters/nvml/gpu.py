"""One GPU: which figures it is asked for, what counts as an answer, and its processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pynvml

from sparkweb.adapters.nvml.queries import MEMORY, QUERIES, UNIFIED_HIDES, Query
from sparkweb.adapters.processes import Processes

UNSUPPORTED_RETRY_SECONDS = 60.0
PROCESSES_SHOWN = 100
LOST = {
    pynvml.NVML_ERROR_GPU_IS_LOST,
    pynvml.NVML_ERROR_RESET_REQUIRED,
    pynvml.NVML_ERROR_GPU_NOT_FOUND,
}
NOT_ANSWERABLE = {pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND}


@dataclass(frozen=True)
class KnownGpu:
    """Which card it is; `uuid` is None when it was lost before it could tell."""

    index: int
    uuid: str | None
    name: str


@dataclass
class _Answer:
    values: dict[str, Any]
    why: dict[str, str]
    holds_until: float
    error: int | None = None


@dataclass
class _Meter:
    """Joules summed from watts, for GPUs without an energy counter."""

    joules: float = 0.0
    read_at: float | None = None

    def add(self, watts: float | None, now: float) -> float | None:
        if watts is None:
            self.read_at = None
            return None
        if self.read_at is not None:
            self.joules += watts * (now - self.read_at)
        self.read_at = now
        return round(self.joules, 1)


@dataclass
class Gpu:
    """A GPU by its index. Opening or reading one that is lost never raises: it becomes a row `lost`.

    Raises NVMLError only for what concerns all GPUs (the library was shut down).
    """

    index: int
    processes: Processes
    clock: Callable[[], float]
    known: KnownGpu | None
    lost_retry_seconds: float
    unified: bool = False
    lost: bool = False
    identity: KnownGpu = field(init=False)
    _handle: Any = field(init=False, default=None)
    _lost_at: float = field(init=False, default=0.0)
    _answers: dict[Callable[..., Any], _Answer] = field(init=False, default_factory=dict)
    _meter: _Meter = field(init=False, default_factory=_Meter)

    def __post_init__(self) -> None:
        self.identity = self.known or KnownGpu(self.index, None, "NVIDIA GPU")
        self._open()

    def read(self, host_memory_total_bytes: int | None) -> dict[str, Any]:
        """Return this GPU's object of the report."""
        if self.lost and self.clock() - self._lost_at > self.lost_retry_seconds:
            self._open()
        if self.lost:
            return empty_row(self.identity, "lost")
        try:
            return self._row(host_memory_total_bytes)
        except pynvml.NVMLError as error:
            if error.value not in LOST:
                raise
            self._lose()
            return empty_row(self.identity, "lost")

    def _open(self) -> None:
        try:
            self._handle = pynvml.nvmlDeviceGetHandleByIndex(self.index)
            self.identity = KnownGpu(self.index, pynvml.nvmlDeviceGetUUID(self._handle), _name(self._handle))
        except pynvml.NVMLError as error:
            # a card that fell off the bus answers here with one of several errors
            if error.value == pynvml.NVML_ERROR_UNINITIALIZED:
                raise
            self._lose()
        else:
            self.lost = False

    def _lose(self) -> None:
        self.lost = True
        self._lost_at = self.clock()
        self._answers.clear()

    def _row(self, host_memory_total_bytes: int | None) -> dict[str, Any]:
        row, why = _blank(self.identity, "ok"), {}
        for query in QUERIES:
            answer = self._ask(query)
            row.update(answer.values)
            why.update(answer.why)
        self._unify(row, why, host_memory_total_bytes)
        if why.get("energy_joules") == "unsupported":
            row["energy_joules"] = self._meter.add(row["power_watts"], self.clock())
            why["energy_joules"] = "estimated" if row["energy_joules"] is not None else "unsupported"
        self._add_processes(row, why)
        row["why"] = why
        return row

    def _ask(self, query: Query) -> _Answer:
        """Return the answer to `query`, from memory while that holds."""
        now = self.clock()
        kept = self._answers.get(query.call)
        if kept and now < kept.holds_until:
            return kept
        try:
            answer = _checked(query, query.call(self._handle), now)
        except pynvml.NVMLError as error:
            if error.value in LOST or error.value == pynvml.NVML_ERROR_UNINITIALIZED:
                raise
            answer = _refused(query, error.value, now)
        self._answers[query.call] = answer
        return answer

    def _unify(self, row: dict[str, Any], why: dict[str, str], host_memory_total_bytes: int | None) -> None:
        """Recognise memory shared with the host, by what the driver answers and never by name.

        Either the memory query is not supported (GB10), or it answers with the
        host's RAM within 1 % and there is no power limit either (nvtop#463);
        cards of their own have one.
        """
        if self._answers[MEMORY.call].error == pynvml.NVML_ERROR_NOT_SUPPORTED:
            self.unified = True
        elif row["memory_total_bytes"] and host_memory_total_bytes:
            alike = abs(row["memory_total_bytes"] / host_memory_total_bytes - 1) < 0.01
            self.unified = alike and why.get("power_limit_watts") == "unsupported"
        if self.unified:
            for name in UNIFIED_HIDES:
                row[name], why[name] = None, "unsupported"

    def _add_processes(self, row: dict[str, Any], why: dict[str, str]) -> None:
        try:
            memory = _process_memory(self._handle)
        except pynvml.NVMLError as error:
            if error.value in LOST or error.value == pynvml.NVML_ERROR_UNINITIALIZED:
                raise
            why["processes"] = why["memory_held_bytes"] = _reason(error.value)
            return
        if self.processes.hidden:
            why["processes"] = "hidden"
            rows = [_process(pid, "", used, None) for pid, used in memory.items()]
        else:
            rows = [
                _process(pid, found.name, used, found.container_id)
                for pid, used in memory.items()
                if (found := self.processes.find(pid))  # others are scrambled or gone: nvitop#75
            ]
        rows.sort(key=lambda process: process["memory_bytes"] or 0, reverse=True)
        row["memory_held_bytes"] = self._held(rows, why)
        row["processes"] = rows[:PROCESSES_SHOWN]

    def _held(self, rows: list[dict[str, Any]], why: dict[str, str]) -> int | None:
        """Sum what processes hold, bytes; estimated when some of them do not tell, None when none does."""
        told = [row["memory_bytes"] for row in rows if row["memory_bytes"] is not None]
        if not rows and self.processes.hidden:
            why["memory_held_bytes"] = "hidden"
            return None
        if rows and not told:
            why["memory_held_bytes"] = "unsupported"
            return None
        if len(told) < len(rows):
            why["memory_held_bytes"] = "estimated"
        return sum(told)


def _checked(query: Query, values: tuple[float, ...], now: float) -> _Answer:
    """Take the values that lie in range; the others are sentinels."""
    taken: dict[str, Any] = {}
    for figure, value in zip(query.figures, values, strict=True):
        taken[figure.name] = figure.shown(value) if figure.low <= value <= figure.high else None
    why = {name: "unsupported" for name, value in taken.items() if value is None}
    return _Answer(taken, why, now + query.holds_seconds)


def _refused(query: Query, error: int, now: float) -> _Answer:
    reason = _reason(error)
    holds = UNSUPPORTED_RETRY_SECONDS if reason == "unsupported" else 0.0
    names = [figure.name for figure in query.figures]
    return _Answer(dict.fromkeys(names), dict.fromkeys(names, reason), now + holds, error)


def _reason(error: int) -> str:
    if error in NOT_ANSWERABLE:
        return "unsupported"
    return "hidden" if error == pynvml.NVML_ERROR_NO_PERMISSION else "stale"


def _process_memory(handle: Any) -> dict[int, int | None]:
    """Return {pid: bytes}; a process that computes and draws is in both lists and counts once."""
    memory: dict[int, int | None] = {}
    for call in (
        pynvml.nvmlDeviceGetComputeRunningProcesses_v3,
        pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3,
    ):
        for process in call(handle):
            used = process.usedGpuMemory
            if used is not None and not 0 <= used <= 2**48:
                used = None
            before = memory.get(process.pid)
            memory[process.pid] = used if before is None else max(before, used or 0)
    return memory


def _process(pid: int, name: str, memory_bytes: int | None, container_id: str | None) -> dict[str, Any]:
    return {"pid": pid, "name": name, "memory_bytes": memory_bytes, "container_id": container_id}


def _blank(identity: KnownGpu, state: str) -> dict[str, Any]:
    row: dict[str, Any] = {**vars(identity), "state": state}
    row.update(dict.fromkeys(figure.name for query in QUERIES for figure in query.figures))
    row["memory_held_bytes"] = None
    row["processes"] = []
    return row


def empty_row(identity: KnownGpu, state: str) -> dict[str, Any]:
    """Return a GPU's object without a single figure, each with `why: stale`."""
    row = _blank(identity, state)
    row["why"] = {name: "stale" for name, value in row.items() if value is None and name != "uuid"}
    row["why"]["processes"] = "stale"
    return row


def _name(handle: Any) -> str:
    try:
        return str(pynvml.nvmlDeviceGetName(handle))
    except UnicodeDecodeError:
        return "NVIDIA GPU"


def driver_version() -> str | None:
    """Return the driver's version, for example `580.95.05`; None when it does not tell."""
    try:
        return str(pynvml.nvmlSystemGetDriverVersion())
    except (pynvml.NVMLError, UnicodeDecodeError):
        return None


def cuda_version() -> str | None:
    """Return the newest CUDA that the driver serves, for example `13.0`; None when it does not tell."""
    try:
        number = int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
    except pynvml.NVMLError:
        return None
    return f"{number // 1000}.{number % 1000 // 10}"
