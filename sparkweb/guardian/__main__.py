"""The guardian process: `python -m sparkweb.guardian FOLDER`.

Everything that acting needs is made and opened while memory is plenty; then the
garbage collector rests, and a look is a few reads by open descriptors. It ends
when its plan says so, when its folder is gone, or when the agent that wrote the
plan has died and left no successor for `PLAN_SECONDS`. Exit status 3: another
one guards this folder.
"""

from __future__ import annotations

import argparse
import fcntl
import gc
import os
import signal
import sys
import time
import uuid
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sparkweb import __version__
from sparkweb.guardian.decide import (
    CALM_SECONDS,
    KILL,
    Past,
    Reading,
    Verdict,
    decide,
    interval_seconds,
    past_after,
    past_seen,
)
from sparkweb.guardian.figures import MEMINFO, PRESSURE, Meminfo, Pressure
from sparkweb.guardian.hold import Hold, hold_take
from sparkweb.guardian.killing import Outcome, Target, start_ticks
from sparkweb.guardian.plan import Plan, PlanReader
from sparkweb.guardian.records import LOCK_FILE, PLAN_FILE, ActsWriter, StatusWriter
from sparkweb.guardian.words import sentence

PLAN_SECONDS = 300.0
READINGS = 120
EXIT_TAKEN = 3
ENDING = (signal.SIGTERM,)


class Guardian:
    """One guardian over one folder."""

    def __init__(self, folder: Path, meminfo: Path, pressure: Path, hold: Hold) -> None:
        self._meminfo = Meminfo(meminfo)
        self._pressure = Pressure(pressure)
        self._plan_file = PlanReader(folder / PLAN_FILE)
        self._acts = ActsWriter(folder)
        self._status = StatusWriter(folder)
        self._hold = hold
        self._readings: deque[Reading] = deque(maxlen=READINGS)
        self._targets: dict[str, Target] = {}
        self._past = Past()
        self._ended = False
        self._me = {"pid": os.getpid(), "start_ticks": start_ticks(os.getpid()), "version": __version__}

    def run(self) -> None:
        """Look until it is over, or SIGTERM comes, which waits while a victim is being ended."""
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        while True:
            seconds = self.look()
            if self._ended or signal.sigtimedwait(ENDING, seconds) is not None:
                return

    def look(self) -> float:
        """Look once, act if need be, and return how long to wait until the next look, in seconds."""
        if self._plan_file.refresh():
            self._plan_take()
        plan, now = self._plan_file.plan, time.monotonic()
        age = now - self._plan_file.written_at
        if self._is_over(plan, age):
            self._ended = True
            return 0.0
        available = self._meminfo.available_bytes()
        if available is not None:
            self._readings.append(Reading(now, available, self._pressure.full_percent()))
        in_force = plan is not None and age <= PLAN_SECONDS and available is not None
        if plan and in_force:
            self._consider(plan)
        self._status_write(now, available, in_force)
        return interval_seconds(self._readings, plan.floors) if plan and in_force else CALM_SECONDS

    def _consider(self, plan: Plan) -> None:
        self._past = past_seen(self._past, self._readings[-1], plan.floors)
        verdict = decide(self._readings, plan.victims, plan.floors, self._past)
        if verdict is None:
            return
        outcome = None
        if verdict.action == KILL and verdict.victim:
            outcome = self._targets[verdict.victim.key].kill()
        self._past = past_after(self._past, verdict, time.monotonic())
        self._acts.append(self._evidence(verdict, plan, outcome))
        self._acts.sync()

    def _evidence(self, verdict: Verdict, plan: Plan, outcome: Outcome | None) -> dict[str, Any]:
        now = self._readings[-1]
        victim = verdict.victim
        return {
            "act": uuid.uuid4().hex[:16],
            "at": time.time(),
            "action": verdict.action,
            "cause": verdict.cause,
            "sentence": sentence(verdict, list(self._readings), plan.floors),
            "available_bytes": now.available_bytes,
            "total_bytes": self._meminfo.total_bytes(),
            "stall_percent": now.stall_percent,
            "floors": asdict(plan.floors),
            "readings": [
                [round(one.at - now.at, 2), one.available_bytes, one.stall_percent] for one in self._readings
            ],
            "victim": asdict(victim) if victim else None,
            "signalled": len(outcome.signalled) if outcome else 0,
            "left": outcome.left if outcome else 0,
            "asked_docker": outcome.asked_docker if outcome else False,
        }

    def _is_over(self, plan: Plan | None, age: float) -> bool:
        if self._plan_file.is_deleted:
            return True
        if plan is None:
            return False
        agent_is_gone = start_ticks(plan.agent_pid) != plan.agent_ticks
        return plan.end or plan.version != __version__ or (agent_is_gone and age > PLAN_SECONDS)

    def _plan_take(self) -> None:
        """Open what ending each victim of the new plan needs; keep what is open already."""
        plan = self._plan_file.plan
        assert plan
        wanted = {victim.key: victim for victim in plan.victims}
        for key, target in list(self._targets.items()):
            if not _is_same(target, wanted.get(key), plan):
                self._targets.pop(key).close()
        for key, victim in wanted.items():
            if key in self._targets:
                self._targets[key].victim = victim
            else:
                self._targets[key] = Target(victim, plan.docker_socket)
        gc.collect()

    def _status_write(self, now: float, available: int | None, in_force: bool) -> None:
        self._status.write(
            {
                **self._me,
                "at": now,
                "in_force": in_force,
                "available_bytes": available,
                "stall_percent": self._readings[-1].stall_percent if self._readings else None,
                "knows_pressure": self._pressure.is_known,
                "locked": self._hold.is_locked,
                "oom_score_adj": self._hold.oom_score_adj,
                "reach": {key: target.reach for key, target in list(self._targets.items())[:16]},
                "why": self._hold.why,
            }
        )


def _is_same(target: Target, victim: Any, plan: Plan) -> bool:
    """Whether what is open for a victim still fits: same processes, same group, same engine."""
    if victim is None or target.docker_socket != plan.docker_socket:
        return False
    before = target.victim
    return (before.pid, before.start_ticks, before.cgroup, before.container_id) == (
        victim.pid,
        victim.start_ticks,
        victim.cgroup,
        victim.container_id,
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m sparkweb.guardian")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--meminfo", type=Path, default=MEMINFO)
    parser.add_argument("--pressure", type=Path, default=PRESSURE)
    options = parser.parse_args(arguments)
    lock = os.open(options.folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return EXIT_TAKEN
    guardian = Guardian(options.folder, options.meminfo, options.pressure, hold_take())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    gc.disable()
    guardian.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
