# ruff: noqa: E402 - Django is set up before its models are imported
"""CPU that control spends to keep 100 launches on 10 nodes as they should be, for each second.

    python -m bench.reconcile [--launches 100] [--nodes 10] [--rounds 50] [--json]

A second is: the section `launches` of each node's report taken in, one round of reconcile, and what goes
on through the day: half a look at the schedules, a tenth of one at what is idle. Beside it: only loading
the same rows.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django

django.setup()

from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from bench.figures import percentile, show
from models_app.day import EVERY_SECONDS, IDLE_EVERY_SECONDS
from models_app.idle import idle_unload
from models_app.models import Launch, LaunchMember, LaunchState
from models_app.observing import OBSERVED, launches_reported
from models_app.reconcile import RECONCILER
from models_app.schedules import schedules_round
from tests.factories import AttemptFactory, DefinitionFactory, LaunchFactory, MemberFactory, NodeFactory

TARGET_MS = 50.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--launches", type=int, default=100)
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    settings.DATABASES["default"]["NAME"] = str(settings.DATA_DIR / "reconcile.sqlite3")
    call_command("migrate", verbosity=0)
    reports = house(options.launches, options.nodes)
    take_in(reports)
    RECONCILER.launch_reconcile()
    load = cpu_ms(load_rows, options.rounds)
    intake = cpu_ms(lambda: take_in(reports), options.rounds)
    reconcile = cpu_ms(RECONCILER.launch_reconcile, options.rounds)
    schedules = cpu_ms(lambda: schedules_round(timezone.now()), options.rounds)
    idle = cpu_ms(lambda: idle_unload(time.monotonic()), options.rounds)
    second = [
        report + round_ + day / EVERY_SECONDS + look / IDLE_EVERY_SECONDS
        for report, round_, day, look in zip(intake, reconcile, schedules, idle, strict=True)
    ]
    rows = [
        _row("load the rows", load, load),
        _row("reports", intake, load),
        _row("reconcile", reconcile, load),
        _row("schedules", schedules, load),
        _row("idle", idle, load),
        _row("a second", second, load),
    ]
    rows[-1]["target_ms"] = TARGET_MS
    assert not Launch.objects.exclude(state=LaunchState.READY).exists(), "all stayed as they were"
    show("reconcile", rows, options.json)


def _row(what: str, values: list[float], floor: list[float]) -> dict[str, Any]:
    p50 = percentile(values, 50)
    return {
        "what": what,
        "cpu_ms_p50": p50,
        "cpu_ms_mean": sum(values) / len(values),
        "to_floor": p50 / percentile(floor, 50),
    }


def cpu_ms(work: Callable[[], object], rounds: int) -> list[float]:
    """Milliseconds of this thread's CPU for each of `rounds`."""
    times = []
    for _ in range(rounds):
        began = time.thread_time()
        work()
        times.append(1000 * (time.thread_time() - began))
    return times


def house(launches: int, nodes: int) -> dict[str, list[dict[str, Any]]]:
    """Make ready launches spread over nodes; the report's section of each node."""
    rows = [NodeFactory(name=f"spark-{number + 1}", status="online") for number in range(nodes)]
    reports: dict[str, list[dict[str, Any]]] = {row.name: [] for row in rows}
    for number in range(launches):
        definition = DefinitionFactory(slug=f"m{number}", port=8000 + number, idle_minutes=600)
        node = rows[number % nodes]
        launch = LaunchFactory(definition=definition, node=node, state=LaunchState.READY)
        member = MemberFactory(attempt=AttemptFactory(launch=launch), container_id=f"{number:064x}")
        reports[node.name].append(entry(launch, member))
    return reports


def entry(launch: Launch, member: LaunchMember) -> dict[str, Any]:
    return {
        "launch": launch.uid,
        "member": member.uid,
        "generation": 1,
        "container_id": member.container_id,
        "phase": "running",
        "stage": None,
        "probe": {"ready": True, "health": 200, "models": ["m"], "message": "", "failures": 0},
        "engine": None,
        "memory_bytes": 2**30,
        "gpu_memory_bytes": None,
    }


def load_rows() -> int:
    rows = Launch.objects.filter(live=True).select_related("definition", "node")
    return len(rows.prefetch_related("attempts__members__node"))


def take_in(reports: dict[str, list[dict[str, Any]]]) -> None:
    for name, entries in reports.items():
        launches_reported(name, entries, {"agent": {"docker": {"status": "ok"}}})
    OBSERVED.changed.clear()


if __name__ == "__main__":
    main()
