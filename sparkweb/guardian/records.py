"""What the guardian leaves on disk: its evidence, one JSON line for each act, and how it is right now."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

ACTS_FILE = "acts.jsonl"
STATUS_FILE = "status"
PLAN_FILE = "plan"
LOCK_FILE = "lock"
STATUS_BYTES = 2048


class ActsWriter:
    """Appends acts; `sync` makes them outlive a power cut."""

    def __init__(self, folder: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(folder / ACTS_FILE, flags, 0o600)

    def append(self, act: dict[str, Any]) -> None:
        os.write(self._fd, json.dumps(act, separators=(",", ":")).encode() + b"\n")

    def sync(self) -> None:
        os.fsync(self._fd)


class StatusWriter:
    """Writes the newest state over the one before."""

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder / STATUS_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, status: dict[str, Any]) -> None:
        text = json.dumps(status, separators=(",", ":")).encode()[: STATUS_BYTES - 1]
        os.pwrite(self._fd, text.ljust(STATUS_BYTES - 1) + b"\n", 0)


def status_read(folder: Path) -> dict[str, Any] | None:
    """The guardian's newest status; None when there is none that can be read."""
    try:
        status = json.loads((folder / STATUS_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return status if isinstance(status, dict) else None


def acts_read(folder: Path, offset: int) -> list[tuple[int, dict[str, Any]]]:
    """Return (offset after it, act) of each whole line from `offset` on, but for lines that are no act."""
    try:
        with (folder / ACTS_FILE).open("rb") as file:
            file.seek(offset)
            text = file.read()
    except OSError:
        return []
    acts = []
    for line in text.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        offset += len(line)
        try:
            act = json.loads(line)
        except ValueError:
            continue
        if isinstance(act, dict):
            acts.append((offset, act))
    return acts
