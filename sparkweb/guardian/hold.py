"""Keeping this process alive when memory is short: in memory, and last in the kernel's own choice."""

from __future__ import annotations

import ctypes
import os
import resource
from dataclasses import dataclass, field
from pathlib import Path

MCL_CURRENT, MCL_FUTURE = 1, 2
CAP_IPC_LOCK = 14
# Locking what comes later under a small limit would make later allocations fail.
LOCK_LIMIT_BYTES = 256 * 2**20
OOM_SCORE_ADJ = Path("/proc/self/oom_score_adj")
WANTED_OOM_SCORE_ADJ = -900


@dataclass
class Hold:
    """What could be had. `why` has a sentence for each thing that could not."""

    is_locked: bool = False
    oom_score_adj: int | None = None
    why: dict[str, str] = field(default_factory=dict)


def hold_take() -> Hold:
    """Lock all memory of this process, now and later, and lower its score for the kernel's OOM killer."""
    hold = Hold()
    _lock(hold)
    _score(hold)
    return hold


def _lock(hold: Hold) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if hard == resource.RLIM_INFINITY or (soft != resource.RLIM_INFINITY and soft < hard):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
        soft = hard
    limited = soft != resource.RLIM_INFINITY and soft < LOCK_LIMIT_BYTES
    if limited and not _has_capability(CAP_IPC_LOCK):
        hold.why["locked"] = (
            f"this user may lock {soft // 2**20} MiB; LimitMEMLOCK=infinity in the agent's unit allows it"
        )
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE) == 0:
        hold.is_locked = True
    else:
        hold.why["locked"] = f"mlockall: {os.strerror(ctypes.get_errno())}"


def _has_capability(number: int) -> bool:
    """Whether this process has a capability, by its number in linux/capability.h."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


def _score(hold: Hold) -> None:
    try:
        OOM_SCORE_ADJ.write_text(str(WANTED_OOM_SCORE_ADJ))
    except OSError as error:
        hold.why["oom_score_adj"] = f"lowering it needs CAP_SYS_RESOURCE ({error.strerror})"
    try:
        hold.oom_score_adj = int(OOM_SCORE_ADJ.read_text())
    except (OSError, ValueError):
        hold.why.setdefault("oom_score_adj", "the kernel does not tell it")
