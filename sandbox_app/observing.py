"""What nodes say about runs: facts, applied once, and in each report which runs they know."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils import timezone

from sandbox_app.ending import run_end
from sandbox_app.image_builds import build_reported
from sandbox_app.job import OUTCOMES
from sandbox_app.models import Outcome, RunState, ToolRun
from sandbox_app.run_frames import run_publish
from sandbox_app.session_observing import sessions_reported

TEXT_MOST_CHARACTERS = 128 * 1024
RESULT_MOST_CHARACTERS = 128 * 1024
ITEMS_MOST = 500
RUNS_MOST = 500


@dataclass
class RunsSeen:
    """What each node's newest report knows: runs (run, generation) and pools (tool, policy).

    Any thread may use it. `changed` wakes reconcile: something ended, or was taken.
    """

    runs: dict[str, set[tuple[str, int]]] = field(default_factory=dict)
    pools: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    changed: threading.Event = field(default_factory=threading.Event)
    _absent_since: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def report(self, node_name: str, runs: set[tuple[str, int]] | None) -> None:
        """Take over what a node knows; None: its sandbox does not say."""
        with self._lock:
            if runs is None:
                self.runs.pop(node_name, None)
            else:
                self.runs[node_name] = runs

    def absent_seconds(self, node_name: str, run: str, generation: int) -> float:
        """For how long the node's reports have not shown a run; 0 while it does, or says nothing of runs."""
        with self._lock:
            known = self.runs.get(node_name)
            if known is None or (run, generation) in known:
                self._absent_since.pop(run, None)
                return 0.0
            return time.monotonic() - self._absent_since.setdefault(run, time.monotonic())

    def forget(self, live: set[str]) -> None:
        """Keep only what is about live runs."""
        with self._lock:
            self._absent_since = {run: at for run, at in self._absent_since.items() if run in live}


SEEN = RunsSeen()


def sandbox_reported(node_name: str, section: Any, _report: dict[str, Any]) -> None:
    """Report handler of the section `sandbox`."""
    sessions_reported(node_name, section.get("sessions") if isinstance(section, dict) else None)
    if isinstance(section, dict):
        build_reported(node_name, section)
    pools = section.get("pools") if isinstance(section, dict) else None
    if isinstance(pools, list):
        SEEN.pools[node_name] = {
            (str(row.get("tool")), str(row.get("policy")))
            for row in pools[:RUNS_MOST]
            if isinstance(row, dict)
        }
    rows = section.get("runs") if isinstance(section, dict) else None
    if not isinstance(rows, list):
        SEEN.report(node_name, None)
        return
    known = {
        (str(row.get("run")), row["generation"])
        for row in rows[:RUNS_MOST]
        if isinstance(row, dict) and isinstance(row.get("generation"), int)
    }
    SEEN.report(node_name, known)


# Facts: each is applied once, inside the intake's transaction -------------------------


def _run(node_name: str, data: dict[str, Any]) -> ToolRun | None:
    """The live run that a fact is about, if it is that node's, and of this generation."""
    generation = data.get("generation")
    if not isinstance(generation, int):
        return None
    rows = ToolRun.objects.select_related("session")
    uid = _text(data.get("run"), 16)
    return rows.filter(uid=uid, node_name=node_name, live=True, generation=generation).first()


def tool_run_began(node_name: str, data: dict[str, Any]) -> None:
    run = _run(node_name, data)
    if run is None or run.state != RunState.REQUESTED:
        return
    changes = {
        "state": RunState.RUNNING,
        "started_at": timezone.now(),
        "container_id": _text(data.get("container_id"), 64),
        "image_digest": _text(data.get("image_digest"), 80),
        "limits": clean(data["limits"]) if isinstance(data.get("limits"), dict) else {},
        "warm": data.get("warm") is True,
    }
    # Somebody may have ended it since it was read.
    if ToolRun.objects.filter(pk=run.pk, live=True, state=RunState.REQUESTED).update(**changes):
        run.state = RunState.RUNNING
        run_publish(run)


def tool_run_ended(node_name: str, data: dict[str, Any]) -> None:
    run = _run(node_name, data)
    if run is None:
        return
    told = data.get("outcome")
    outcome = Outcome(told) if told in OUTCOMES else Outcome.ENGINE
    artifacts = _rows(data.get("artifacts"))
    run_end(run, outcome, _text(data.get("reason"), 2000), artifacts, **figures_of(run, data))
    transaction.on_commit(SEEN.changed.set)


def figures_of(run: ToolRun, data: dict[str, Any]) -> dict[str, Any]:
    """The fields of a run's row out of an Ending as JSON; whatever cannot be true is left out."""
    limits = data.get("limits")
    return {
        "exit_code": _whole(data.get("exit_code"), -(2**31), 2**31 - 1),
        "signal": _whole(data.get("signal"), 0, 128),
        "stdout": _text(data.get("stdout"), TEXT_MOST_CHARACTERS),
        "stderr": _text(data.get("stderr"), TEXT_MOST_CHARACTERS),
        "stdout_bytes": _whole(data.get("stdout_bytes"), 0, 2**60) or 0,
        "stderr_bytes": _whole(data.get("stderr_bytes"), 0, 2**60) or 0,
        "truncated": data.get("truncated") is True,
        "result": clean(data.get("result"), RESULT_MOST_CHARACTERS),
        "container_id": _text(data.get("container_id"), 64) or run.container_id,
        "image_digest": _text(data.get("image_digest"), 80) or run.image_digest,
        "limits": clean(limits) if isinstance(limits, dict) and limits else run.limits,
        "egress": _rows(data.get("egress")),
        "duration_ms": _number(data.get("duration_ms")),
        "cpu_ms": _number(data.get("cpu_ms")),
        "memory_peak_bytes": _whole(data.get("memory_peak_bytes"), 0, 2**60),
        "warm": run.warm or data.get("warm") is True,
        "started_at": run.started_at or run.sent_at,
    }


def _rows(value: Any) -> list[Any]:
    return (
        [clean(row) for row in value[:ITEMS_MOST] if isinstance(row, dict)] if isinstance(value, list) else []
    )


def _whole(value: Any, low: int, high: int) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and low <= value <= high else None


def _number(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and 0 <= value < 1e15 else None


def _text(value: Any, most: int) -> str:
    """Text from a node: neither NUL nor half a surrogate pair, which no database takes."""
    text = value if isinstance(value, str) else ""
    text = text[:most].replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text.encode("utf-8", "replace").decode()


def clean(value: Any, text_most: int = 4000, depth: int = 32) -> Any:
    """JSON from a node as a database takes it: bounded, without NUL, without numbers that JSON lacks."""
    if depth == 0:
        return None
    if isinstance(value, str):
        return _text(value, text_most)
    if isinstance(value, list):
        return [clean(one, text_most, depth - 1) for one in value[: 20 * ITEMS_MOST]]
    if isinstance(value, dict):
        items = list(value.items())[: 2 * ITEMS_MOST]
        return {_text(name, 200): clean(one, text_most, depth - 1) for name, one in items}
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value if value is None or isinstance(value, bool | int | float) else None


FACTS = {"tool_run_began": tool_run_began, "tool_run_ended": tool_run_ended}
