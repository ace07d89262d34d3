"""Scripts of this node as processes: started under a supervisor of their own, found again, ended.

A run is a folder (see script_supervisor.py). Who a process is says its pid together
with its start time and the boot; nothing is ever looked for by name.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparkweb.adapters import script_supervisor
from sparkweb.adapters.script_supervisor import BOOT_ID, parents, stat_fields

LOG_LIMIT_BYTES = 100 * 1024 * 1024
_ZOMBIE = b"Z"


@dataclass(frozen=True)
class ScriptState:
    """What the supervisor wrote. `error`: serve.sh could not be started; `exit_code` None until it ended."""

    supervisor: tuple[int, int]
    script: tuple[int, int] | None
    boot: str
    started_at: float
    error: str | None
    exit_code: int | None
    finished_at: float | None

    @property
    def ended(self) -> bool:
        return self.exit_code is not None


def run_create(folder: Path, order: dict[str, Any], about: dict[str, Any]) -> None:
    """Make the folder of a run: what to do (`program, stop, cwd, env`) and whose it is."""
    folder.mkdir(parents=True, mode=0o700)
    file_write(folder / "about.json", about)
    file_write(folder / "order.json", {"log_limit_bytes": LOG_LIMIT_BYTES, **order})


def file_write(path: Path, data: dict[str, Any]) -> None:
    """Write JSON whole or not at all; it may hold an environment, so it is the owner's alone."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(data))
    fresh.chmod(0o600)
    fresh.replace(path)


def file_read(path: Path) -> dict[str, Any] | None:
    """What file_write wrote; None where there is nothing, or nothing whole."""
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def supervisor_start(folder: Path) -> subprocess.Popen[bytes]:
    """Start the run of a folder; a second time it finds the first and does nothing."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", script_supervisor.__file__, str(folder)],
        cwd="/",
        env={"PATH": os.environ.get("PATH", os.defpath)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def state_read(folder: Path) -> ScriptState | None:
    """How a run is; None while its supervisor has not begun."""
    data = file_read(folder / "state.json")
    if data is None:
        return None
    ended = data["ended"] or {}
    return ScriptState(
        supervisor=tuple(data["supervisor"]),
        script=tuple(data["script"]) if data["script"] else None,
        boot=data["boot"],
        started_at=data["started_at"],
        error=data["error"],
        exit_code=ended.get("exit_code"),
        finished_at=ended.get("finished_at"),
    )


def is_this_boot(state: ScriptState) -> bool:
    """Whether the machine has not been started anew since."""
    return BOOT_ID.read_text().strip() == state.boot


def is_alive(process: tuple[int, int]) -> bool:
    """Whether this very process lives: pid and start time."""
    try:
        fields = stat_fields(process[0])
    except (OSError, ValueError):
        return False
    return fields[0] != _ZOMBIE and int(fields[19]) == process[1]


def stop_ask(folder: Path, state: ScriptState, timeout_seconds: int) -> bool:
    """Have the supervisor end its run; False when it is gone."""
    file_write(folder / "stop.json", {"timeout_seconds": timeout_seconds})
    try:
        handle = os.pidfd_open(state.supervisor[0])
    except OSError:
        return False
    try:
        if not is_alive(state.supervisor):  # asked after the handle was taken: it cannot be another by now
            return False
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)


def leftovers_kill(state: ScriptState) -> list[int]:
    """End what a run left when its supervisor was killed: the processes of the script's session.

    A session keeps its number from being given away while one process is in it, so
    the number means that run unless its leader is another process by now.
    """
    if state.script is None or not is_this_boot(state):
        return []
    session, _ = state.script
    if Path(f"/proc/{session}").exists() and not is_alive(state.script) and not _is_zombie(session):
        return []
    members = session_pids(session)
    for pid in members:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    return members


def session_pids(session: int) -> list[int]:
    """The processes of a session, zombies left out (field 6 of /proc/PID/stat)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = stat_fields(int(entry.name))
                if int(fields[3]) == session and fields[0] != _ZOMBIE:
                    found.append(int(entry.name))
    return found


def run_pids(state: ScriptState) -> set[int]:
    """All processes of a run that lives: the descendants of its supervisor."""
    if not is_alive(state.supervisor):
        return set()
    known = parents()
    found: set[int] = set()
    fresh = {state.supervisor[0]}
    while fresh:
        fresh = {pid for pid, parent in known.items() if parent in fresh} - found
        found |= fresh
    return found


def memory_bytes(pids: set[int]) -> int:
    """Anonymous memory of these processes in bytes: what ends with them (RssAnon, proc(5))."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            status = Path(f"/proc/{pid}/status").read_bytes()
            total += int(status.split(b"RssAnon:")[1].split()[0]) * 1024
    return total


def run_remove(folder: Path) -> None:
    """Forget a run that is over, its log too."""
    shutil.rmtree(folder, ignore_errors=True)


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return stat_fields(pid)[0] == _ZOMBIE
    return False
