"""The GPUs of this node, as the NVIDIA driver reports them; the only package that imports `pynvml`.

Every call is caught by itself: one figure that a GPU does not give never hides
the others. Figures are in the units of the report (docs/architecture.md), None
with a reason where the hardware or the driver gives none.

NVML may hang in the kernel. Whoever calls `Nvml.read` does so in a thread or
process that it can do without.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import pynvml

from sparkweb.adapters.nvml.driver import Fault, fault_of, library_was_replaced
from sparkweb.adapters.nvml.gpu import Gpu, KnownGpu, cuda_version, driver_version, empty_row
from sparkweb.adapters.processes import Processes

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0
LOST_RETRY_SECONDS = 30.0


@dataclass
class Reading:
    """One reading: the report's `gpu` object and its `gpus` list."""

    gpu: dict[str, Any]
    gpus: list[dict[str, Any]]


class Nvml:
    """The driver, opened on the first reading and opened again, with growing pauses, when it fails.

    `known` are GPUs that an earlier process saw: one that is missing now stays
    in the list as lost, so that a card that fell off the bus does not vanish.
    """

    def __init__(
        self,
        *,
        known: Iterable[KnownGpu] = (),
        processes: Processes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._processes = processes or Processes(clock=clock)
        self._known = list(known)
        self._gpus: list[Gpu] = []
        self._open = False
        self._fault: Fault | None = None
        self._retry_at = 0.0
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._driver: str | None = None
        self._cuda: str | None = None

    def read(self, host_memory_total_bytes: int | None) -> Reading:
        """Read each GPU once, in index order.

        `host_memory_total_bytes` tells unified memory from a card's own where
        the driver answers the memory query with the host's RAM. Never raises
        for what the driver does; the reading's `gpu` then says what is wrong.
        """
        if not self._open and not self._start():
            return self._broken()
        try:
            rows = [gpu.read(host_memory_total_bytes) for gpu in self._gpus]
        except pynvml.NVMLError as error:
            self._fail(error)
            return self._broken()
        self._processes.keep_only({process["pid"] for row in rows for process in row["processes"]})
        return Reading(self._summary(), rows)

    def close(self) -> None:
        """Tell the driver that we leave. Ending without it has frozen cards (NVIDIA/dcgm-exporter#84)."""
        if self._open:
            self._open = False
            try:
                pynvml.nvmlShutdown()
            except pynvml.NVMLError:
                return  # the driver is gone already, which is what was asked for

    @property
    def needs_new_process(self) -> bool:
        """Whether the driver's library was replaced on disk, so that only a new process can load it."""
        return self._fault is not None and library_was_replaced()

    def _start(self) -> bool:
        if self._clock() < self._retry_at:
            return False
        try:
            pynvml.nvmlInit()
            self._open = True
            self._driver = driver_version()
            self._cuda = cuda_version()
            self._gpus = self._devices()
        except pynvml.NVMLError as error:
            self._fail(error)
            return False
        self._fault = None if self._gpus else Fault("none", "The NVIDIA driver is loaded but finds no GPU")
        if self._fault:
            self._pause()
        else:
            self._retry_seconds = FIRST_RETRY_SECONDS
        return bool(self._gpus)

    def _devices(self) -> list[Gpu]:
        """Open each GPU, and add as lost those that were here before."""
        count = pynvml.nvmlDeviceGetCount()
        gpus = [
            Gpu(index, self._processes, self._clock, self._known_at(index), LOST_RETRY_SECONDS)
            for index in range(count)
        ]
        present = {gpu.identity.uuid for gpu in gpus}
        missing = [known for known in self._known if known.uuid and known.uuid not in present]
        for index, known in enumerate(missing, start=count):  # the driver numbers the others anew
            identity = replace(known, index=index)
            gpus.append(Gpu(index, self._processes, self._clock, identity, LOST_RETRY_SECONDS))
        self._known = [gpu.identity for gpu in gpus]
        return gpus

    def _known_at(self, index: int) -> KnownGpu | None:
        return next((known for known in self._known if known.index == index), None)

    def _fail(self, error: pynvml.NVMLError) -> None:
        self._fault = fault_of(error)
        self.close()
        self._pause()

    def _pause(self) -> None:
        self.close()
        self._retry_at = self._clock() + self._retry_seconds
        self._retry_seconds = min(self._retry_seconds * 2, LONGEST_RETRY_SECONDS)

    def _broken(self) -> Reading:
        """The GPUs that were here before are shown without figures; the summary says why."""
        rows = [empty_row(known, "ok") for known in self._known]
        return Reading(self._summary(), rows)

    def _summary(self) -> dict[str, Any]:
        lost = [gpu.identity for gpu in self._gpus if gpu.lost] if self._open else []
        message = self._fault.message if self._fault else None
        if lost:
            named = ", ".join(f"GPU {gpu.index} ({gpu.name})" for gpu in lost)
            message = (
                f"{named} does not answer any more: it fell off the bus or needs a reset; reboot this machine"
            )
        return {
            "status": self._fault.status if self._fault else "ok",
            "message": message,
            "driver": self._driver,
            "cuda": self._cuda,
            "unified_memory": any(gpu.unified for gpu in self._gpus),
        }
