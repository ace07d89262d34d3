"""How late the second ticks: healthy, and while one engine's endpoint hangs and one disk does not answer.

    python -m bench.jitter [--seconds 60] [--json]

The agent's report loop with its sampler (8 GPUs of the stand-in for NVIDIA's library) and four engines
that tell figures over HTTP. A tick's lateness is how far a report is from the even grid of seconds that
fits them best. The floor is a process that only sleeps until the next second, beside it in the same run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from typing import Any

from bench.engine_ports import engines
from bench.figures import percentile, show
from tests.support import nvml

TARGET_MS = 20
WARM_UP_REPORTS = 5
FLOOR = """
import sys, time
due = time.monotonic()
for _ in range(int(sys.argv[1])):
    due += 1
    time.sleep(max(0, due - time.monotonic()))
    print(time.monotonic(), flush=True)
"""
Reports = list[tuple[float, dict[str, Any]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ["LD_LIBRARY_PATH"] = str(nvml.build())
    os.environ["NVML_STANDIN_PROFILE"] = "eight"
    rows = [
        measure("healthy", options.seconds, sick=False),
        measure("engine hangs, disk silent", options.seconds, sick=True),
    ]
    show(f"Lateness of ticks over {options.seconds} s each", rows, options.json)


def measure(what: str, seconds: int, *, sick: bool) -> dict[str, Any]:
    """Run the loop for so many reports beside the floor; return a row."""
    with engines(hang=sick) as ports:
        command = [sys.executable, "-c", FLOOR, str(seconds)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as bare:
            reports = reports_of(ports, seconds, sick=sick)
            text, _ = bare.communicate(timeout=60)
    late = lateness([at for at, _ in reports])
    floor = lateness([float(word) for word in text.split()])
    ends = [report for _, report in reports]
    return {
        "state": what,
        "reports": len(reports),
        "p50_ms": percentile(late, 50),
        "p99_ms": percentile(late, 99),
        "worst_ms": max(late),
        "target_p99_ms": TARGET_MS,
        "sleeper p99_ms": percentile(floor, 99),
        "ratio_p99": percentile(late, 99) / max(0.001, percentile(floor, 99)),
        "seconds left out": round(reports[-1][0] - reports[0][0]) + 1 - len(reports),
        "disks stale": max(_stale_disks(report) for report in ends),
        "engines that tell": sum(one is not None for one in ends[-1]["launches"].values()),
        "GPUs": len(ends[-1]["gpus"]),
    }


def reports_of(ports: list[int], seconds: int, *, sick: bool) -> Reports:
    """So many reports, each with the monotonic time at which it was handed over."""
    from metrics_app.agent import ReportLoop, report_section
    from metrics_app.sampler_process import COMMAND, SamplerProcess
    from models_app.engines.spec import ProbeSpec
    from models_app.node.engine_watch import EngineWatch

    probes = {f"{n:064x}": ProbeSpec("openai", port, model="model") for n, port in enumerate(ports)}
    watch = EngineWatch(lambda: probes, lambda _: None, 600.0)
    report_section("launches")(lambda: {key: watch.entry(key) for key in probes})
    taken: Reports = []
    sampler = (sys.executable, "-m", "bench.sick_sampler") if sick else COMMAND
    loop = ReportLoop(lambda report: taken.append((time.monotonic(), report)), SamplerProcess(sampler))
    watch.start()
    loop.start()
    until = time.monotonic() + seconds + WARM_UP_REPORTS + 30
    while len(taken) < seconds + WARM_UP_REPORTS and time.monotonic() < until:
        time.sleep(0.5)
    loop.close()
    watch.close()
    return taken[WARM_UP_REPORTS : seconds + WARM_UP_REPORTS]


def lateness(moments: list[float]) -> list[float]:
    """Milliseconds between each moment and the grid of whole seconds in the middle of them all."""
    phases = [(at - moments[0] + 0.5) % 1 for at in moments]
    middle = percentile(phases, 50)
    return [1000 * abs(phase - middle) for phase in phases]


def _stale_disks(report: dict[str, Any]) -> int:
    disks = (report.get("host") or {}).get("disks") or []
    return sum("stale" in disk["why"].values() and disk["total_bytes"] is None for disk in disks)


if __name__ == "__main__":
    main()
