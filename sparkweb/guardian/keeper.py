"""The agent's side of the guardian: keeps it running, tells it what may be ended, hears what it did."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from sparkweb import __version__
from sparkweb.guardian.decide import Floors, Victim, floors_of
from sparkweb.guardian.figures import MEMINFO, Meminfo
from sparkweb.guardian.killing import DOCKER, SIGNAL, start_ticks
from sparkweb.guardian.plan import Plan, PlanWriter
from sparkweb.guardian.records import ACTS_FILE, PLAN_FILE, acts_read, status_read

log = structlog.get_logger(__name__)

PROJECT = Path(__file__).resolve().parent.parent.parent
# Without site-packages: the guardian needs none of them, and is smaller.
COMMAND = (sys.executable, "-S", "-m", "sparkweb.guardian")
EVERY_SECONDS = 1.0
SILENT_SECONDS = 15.0
STATUS_FRESH_SECONDS = 5.0
END_SECONDS = 0.5
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
ACTS_LIMIT_BYTES = 2_000_000
TAKEN_FILE = "taken"

OnAct = Callable[[dict[str, Any]], None]
Victims = Callable[[], list[Victim]]


@dataclass(frozen=True)
class GuardianSettings:
    """What the owner set for this node; 0 for a floor: by the size of its memory."""

    enabled: bool = True
    floor_mb: int = 0
    lower_floor_mb: int = 0
    horizon_seconds: float = 3.0
    protect_ready: bool = False


class MemoryGuardian:
    """Keeps one guardian over `folder`, its own child or one that an earlier agent left.

    `victims` are asked each second for what may be ended; `on_act` is called once
    for each act, and again if it raises. `meminfo` is what the guardian watches.
    """

    def __init__(
        self,
        folder: Path,
        settings: GuardianSettings,
        victims: Sequence[Victims],
        on_act: OnAct,
        docker_host: str = "",
        meminfo: Path = MEMINFO,
        command: Sequence[str] = COMMAND,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self.floors = _floors(settings, meminfo)
        self._enabled = settings.enabled
        self._victims, self._on_act = victims, on_act
        self._socket = docker_host.removeprefix("unix://") if docker_host.startswith("unix://") else ""
        self._command = [*command, str(folder), "--meminfo", str(meminfo)]
        self._writer = PlanWriter(folder / PLAN_FILE)
        self._last_plan: tuple[Victim, ...] = ()
        self._collecting = threading.Lock()
        self._child = _Child()
        self._taken = _number_read(folder / TAKEN_FILE)
        self.last_act = _last_act(folder)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="guardian", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the guardian too, within a second: whoever stops SparkWeb on purpose is there to look."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(END_SECONDS)
        self._plan_write(end=True)
        self._child.end()
        self._writer.close()

    def collect(self) -> None:
        """Hand over what the guardian did since the last call. May be called from any thread."""
        with self._collecting:
            for offset, act in acts_read(self.folder, self._taken):
                self._on_act(act)
                self.last_act = _outline(act)
                self._taken = offset
                # Control knows an act by its id: told twice because the disk is full, it is stored once.
                with contextlib.suppress(OSError):
                    (self.folder / TAKEN_FILE).write_text(str(offset))

    def section(self) -> dict[str, Any]:
        """The report's `guardian` (docs/architecture.md)."""
        status = self._fresh_status()
        word, message = self._condition(status)
        status = status or {}
        return {
            "status": word,
            "message": message,
            "floor_bytes": self.floors.floor_bytes,
            "lower_floor_bytes": self.floors.lower_floor_bytes,
            "warning_bytes": self.floors.warning_bytes,
            "horizon_seconds": self.floors.horizon_seconds,
            "protect_ready": self.floors.protect_ready,
            "pid": status.get("pid"),
            "locked": status.get("locked"),
            "oom_score_adj": status.get("oom_score_adj"),
            "pressure": status.get("knows_pressure"),
            "victims": [
                {"key": one.key, "kind": one.kind, "priority": one.priority, "pinned": one.pinned}
                for one in self._last_plan
            ],
            "last_act": self.last_act,
            "why": status.get("why", {}),
        }

    def _condition(self, status: dict[str, Any] | None) -> tuple[str, str | None]:
        if not self._enabled:
            return "off", "SPARKWEB_GUARDIAN=0 turned it off"
        if status is None:
            return "down", "The guardian does not run; it is started again"
        if not status.get("in_force"):
            return "waiting", "It has no plan or no figures yet"
        reach = set((status.get("reach") or {}).values())
        if reach - {SIGNAL}:
            way = "it asks Docker, which may hang then" if reach <= {SIGNAL, DOCKER} else "Docker neither"
            return "limited", f"It may not signal what runs in containers: {way}. CAP_KILL allows it"
        return "armed", None

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self.tick()
            except Exception:
                # What went wrong with one second must not end the guarding.
                log.exception("guardian not kept")
            self._closing.wait(EVERY_SECONDS)

    def tick(self) -> None:
        """Write the plan, see to the guardian, and collect."""
        if not self._enabled:
            if self._fresh_status():
                self._plan_write(end=True)
            return
        self._plan_write()
        self._tend()
        self.collect()

    def _plan_write(self, end: bool = False) -> None:
        try:
            self._last_plan = tuple(one for victims in self._victims for one in victims())
        except Exception:
            log.exception("victims unknown; the last ones stay")
        plan = Plan(
            version=__version__,
            floors=self.floors,
            victims=self._last_plan,
            docker_socket=self._socket,
            agent_pid=os.getpid(),
            agent_ticks=start_ticks(os.getpid()) or 0,
            end=end,
        )
        try:
            self._writer.write(plan)
        except OSError as error:
            log.error("guardian's plan not written", reason=str(error))

    # ---- the process ----

    def _tend(self) -> None:
        """Start the guardian when there is none, and replace one that is silent."""
        if self._child.runs:
            if self._silent_seconds() > SILENT_SECONDS and self._child.age_seconds > SILENT_SECONDS:
                log.warning("the guardian is silent and is replaced", pid=self._child.pid)
                self._child.kill()
            return
        if self._fresh_status() is not None:
            return  # an earlier agent's goes on with this one's plan
        _silent_kill(status_read(self.folder))
        self._rotate()
        self._child.start(self._command)

    def _fresh_status(self) -> dict[str, Any] | None:
        status = status_read(self.folder)
        if status is None or time.monotonic() - status.get("at", 0.0) > STATUS_FRESH_SECONDS:
            return None
        return status if _lives(status) else None

    def _silent_seconds(self) -> float:
        status = status_read(self.folder)
        return time.monotonic() - float(status.get("at", 0.0)) if status else float("inf")

    def _rotate(self) -> None:
        """Keep one older file of acts once all of this one were handed over."""
        acts = self.folder / ACTS_FILE
        with self._collecting, contextlib.suppress(OSError):
            if self._taken >= ACTS_LIMIT_BYTES and self._taken == acts.stat().st_size:
                acts.replace(self.folder / "acts.old.jsonl")
                (self.folder / TAKEN_FILE).write_text("0")
                self._taken = 0


class _Child:
    """The guardian as a child of this process, in a session of its own: it outlives an agent that crashes."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._start_at = 0.0
        self._pause_seconds = FIRST_PAUSE_SECONDS

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def runs(self) -> bool:
        if self._process is None:
            return False
        if self._process.poll() is None:
            return True
        log.warning("the guardian ended", exit_code=self._process.returncode)
        self._process = None
        self._start_at = time.monotonic() + self._pause()
        return False

    @property
    def age_seconds(self) -> float:
        return time.monotonic() - self._started_at

    def start(self, command: Sequence[str]) -> None:
        """Start it, unless the last one ended a moment ago. What cannot be started is tried again later."""
        if time.monotonic() < self._start_at:
            return
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd=PROJECT,
                env={
                    "PATH": os.environ.get("PATH", ""),
                    "MALLOC_ARENA_MAX": "1",
                    "PYTHONDONTWRITEBYTECODE": "1",
                },
                start_new_session=True,
            )
            self._started_at = time.monotonic()
        except OSError as error:
            log.error("the guardian does not start", reason=str(error))
            self._start_at = time.monotonic() + self._pause()

    def end(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        if self._process:
            self._process.kill()

    def _pause(self) -> float:
        if self.age_seconds > LONGEST_PAUSE_SECONDS:
            self._pause_seconds = FIRST_PAUSE_SECONDS
        pause = self._pause_seconds
        self._pause_seconds = min(pause * 2, LONGEST_PAUSE_SECONDS)
        return pause


def _lives(status: dict[str, Any]) -> bool:
    pid, ticks = status.get("pid"), status.get("start_ticks")
    return isinstance(pid, int) and ticks is not None and start_ticks(pid) == ticks


def _silent_kill(status: dict[str, Any] | None) -> None:
    """End a guardian that an earlier agent left and that hangs: it holds the lock."""
    if status and _lives(status):
        with contextlib.suppress(OSError):
            os.kill(int(status["pid"]), signal.SIGKILL)


def _floors(settings: GuardianSettings, meminfo: Path) -> Floors:
    total = Meminfo(meminfo).total_bytes() or 0
    return floors_of(
        total, settings.floor_mb, settings.lower_floor_mb, settings.horizon_seconds, settings.protect_ready
    )


def _number_read(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _last_act(folder: Path) -> dict[str, Any] | None:
    acts = acts_read(folder, 0)
    return _outline(acts[-1][1]) if acts else None


def _outline(act: dict[str, Any]) -> dict[str, Any]:
    """What the report says of an act, without its figures."""
    victim = act.get("victim") or {}
    return {
        "act": act.get("act"),
        "at": act.get("at"),
        "action": act.get("action"),
        "name": victim.get("name"),
        "member": victim.get("key"),
        "sentence": act.get("sentence"),
    }
