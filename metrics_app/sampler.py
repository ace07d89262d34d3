"""The sampler: a child process of the agent that reads GPUs and host once a second.

    python -m metrics_app.sampler [--gpus JSON]

It writes one JSON line a second on stdout: `gpu`, `gpus`, `host`, `counters`,
`sampled_at` and `sampler` of the report (docs/architecture.md). `--gpus` names the cards that
an earlier sampler saw, as [[index, uuid, name], …]. It ends when its stdout
closes, or on SIGTERM after it has told the driver.

It is a process of its own because NVML can hang in the kernel, and within it
NVML has a thread of its own: while the driver hangs, the host is read on.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import orjson

from metrics_app.stale import NO_GPU_SUMMARY, gpu_stale
from sparkweb.adapters.host import Host
from sparkweb.adapters.nvml import Nvml, Reading
from sparkweb.adapters.nvml.gpu import KnownGpu

PERIOD_SECONDS = 1.0
FIRST_READING_SECONDS = 0.2  # between the reading that only starts the differences and the first line
GPU_WAIT_SECONDS = 0.3
GPU_OVERDUE_SECONDS = 3.0
NEW_PROCESS_EXIT = 75  # EX_TEMPFAIL, sysexits.h: start me again


class GpuReader:
    """Reads NVML in a thread of its own, and says for how long it has been silent."""

    def __init__(self, nvml: Nvml, clock: Callable[[], float] = time.monotonic) -> None:
        self._nvml = nvml
        self._clock = clock
        self._asked = threading.Event()
        self._answered = threading.Event()
        self._answered.set()
        self._host_memory_total_bytes: int | None = None
        self._reading: Reading | None = None
        self._answered_at = clock()
        threading.Thread(target=self._run, name="nvml", daemon=True).start()

    @property
    def silent_seconds(self) -> float:
        """Seconds since NVML last answered; 0 when the last question is answered."""
        return 0.0 if self._answered.is_set() else self._clock() - self._answered_at

    def ask(self, host_memory_total_bytes: int | None) -> None:
        """Ask for a reading, unless the last question is still open."""
        if self._answered.is_set():
            self._host_memory_total_bytes = host_memory_total_bytes
            self._answered_at = self._clock()
            self._answered.clear()
            self._asked.set()

    def take(self, wait_seconds: float) -> Reading:
        """Return the reading asked for, or the one before while that is younger than 3 s, or stale rows."""
        self._answered.wait(wait_seconds)
        silent = self.silent_seconds
        if self._reading and silent < GPU_OVERDUE_SECONDS:
            return self._reading
        return _silent_reading(self._reading, silent)

    def idle(self, wait_seconds: float) -> bool:
        """Whether NVML has answered everything, after at most `wait_seconds`."""
        return self._answered.wait(wait_seconds)

    def _run(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            self._reading = self._nvml.read(self._host_memory_total_bytes)
            self._answered_at = self._clock()
            self._answered.set()


def _silent_reading(last: Reading | None, silent_seconds: float) -> Reading:
    """What is shown while NVML is silent; opening a driver that sleeps takes a few seconds."""
    message = f"The NVIDIA driver has not answered for {silent_seconds:.0f} s"
    if silent_seconds < GPU_OVERDUE_SECONDS:
        message = "The NVIDIA driver is being opened"
    summary = last.gpu if last else NO_GPU_SUMMARY
    rows = [gpu_stale(row) for row in last.gpus] if last else []
    return Reading({**summary, "status": "error", "message": message}, rows)


class Cost:
    """What the sampler itself uses: CPU in percent of one core since the last call, and memory."""

    def __init__(self) -> None:
        self._before = (time.monotonic(), time.process_time())

    def read(self) -> dict[str, Any]:
        now = (time.monotonic(), time.process_time())
        seconds = now[0] - self._before[0]
        percent = 100 * (now[1] - self._before[1]) / seconds if seconds > 0 else 0.0
        self._before = now
        with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 - pathlib costs more than the read
            pages = int(statm.read().split()[1])
        return {"cost_cpu_percent": round(percent, 2), "rss_bytes": pages * os.sysconf("SC_PAGE_SIZE")}


class Sampler:
    """Puts one line together."""

    def __init__(self, host: Host, gpus: GpuReader) -> None:
        self._host = host
        self._gpus = gpus
        self._cost = Cost()
        self._unified_memory = False

    def prime(self) -> None:
        """Take the reading that differences start from, and let the driver open."""
        self._gpus.ask(self._host.memory_total_bytes)
        self._host.read()

    def line(self, late_seconds: float) -> bytes:
        """Read everything once; return the JSON line."""
        sampled_at = time.time()
        self._gpus.ask(self._host.memory_total_bytes)
        host = self._host.read(unified_memory=self._unified_memory)
        reading = self._gpus.take(GPU_WAIT_SECONDS)
        self._unified_memory = reading.gpu["unified_memory"]
        sampler = {
            **self._cost.read(),
            "late_seconds": round(late_seconds, 4),
            "gpu_silent_seconds": round(self._gpus.silent_seconds, 1),
        }
        figures = {
            "gpu": reading.gpu,
            "gpus": reading.gpus,
            "host": host,
            "counters": self._host.counters,
            "sampled_at": sampled_at,
            "sampler": sampler,
        }
        return orjson.dumps(figures) + b"\n"


def ticks(
    period_seconds: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> Iterator[float]:
    """Yield at whole periods after the first call, with the lateness in seconds.

    The next tick is counted from the first one, so that nothing adds up; ticks
    that were slept through (a suspended machine) are left out, not caught up on.
    """
    due = clock()
    while True:
        late = clock() - due
        yield late
        due += period_seconds * (1 + max(0, int((clock() - due) / period_seconds)))
        sleep(max(0.0, due - clock()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="metrics_app.sampler")
    parser.add_argument("--gpus", default="[]", help="cards that an earlier sampler saw, as JSON")
    return parser.parse_args()


def _stop(_signal_number: int, _frame: object) -> NoReturn:
    raise SystemExit(0)


def main() -> int:
    """Write lines until the reader goes away. Returns the exit status."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the agent, which then stops us
    nvml = Nvml(known=[KnownGpu(*gpu) for gpu in orjson.loads(_arguments().gpus)])
    gpus = GpuReader(nvml)
    sampler = Sampler(Host(), gpus)
    try:
        sampler.prime()
        time.sleep(FIRST_READING_SECONDS)
        for late_seconds in ticks(PERIOD_SECONDS, time.monotonic, time.sleep):
            os.write(1, sampler.line(late_seconds))
            if nvml.needs_new_process:
                return NEW_PROCESS_EXIT
    except BrokenPipeError:
        return 0
    finally:
        if gpus.idle(GPU_WAIT_SECONDS):
            nvml.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
