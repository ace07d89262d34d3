"""What the archive process is at, in a small file beside the archive that pages read. No Django here."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transcripts_app.importing.run import Progress

TOUCH_SECONDS = 5.0
SILENT_SECONDS = 20.0
TOLD_SECONDS = 0.5


def state_path(archive: Path) -> Path:
    """The file's place."""
    return archive.with_name(archive.name + ".state")


class StateFile:
    """Written by the archive process; touched while nothing changes, so that its age tells that it lives."""

    def __init__(self, archive: Path) -> None:
        self._path = state_path(archive)
        self._told: dict[str, Any] = {}
        self._at = self._progress_at = 0.0

    def tell(self, **changed: Any) -> None:
        """Change some of what it says."""
        if any(self._told.get(name) != value for name, value in changed.items()):
            self._told |= changed
            self._write()

    def reading(self, source: int, progress: Progress) -> None:
        """How far a source is read."""
        if progress.files > 1 and time.monotonic() - self._progress_at >= TOLD_SECONDS:
            self._progress_at = time.monotonic()
            names = ("files", "files_done", "bytes", "bytes_done")
            self.tell(reading={"source": source} | {name: getattr(progress, name) for name in names})

    def idle(self) -> None:
        """Nothing is read."""
        self.tell(reading=None)

    def alive(self) -> None:
        """Say now and then that the process runs."""
        now = time.monotonic()
        if now - self._at >= TOUCH_SECONDS:
            self._at = now
            try:
                os.utime(self._path)
            except OSError:
                self._write()

    def _write(self) -> None:
        temporary = self._path.with_name(self._path.name + ".new")
        with contextlib.suppress(OSError):  # a full disk is told by what cannot be read then
            temporary.write_text(json.dumps(self._told | {"pid": os.getpid()}))
            temporary.replace(self._path)
            self._at = time.monotonic()


def state_read(archive: Path) -> dict[str, Any]:
    """What the archive process last said; `alive` tells whether it said so lately."""
    path = state_path(archive)
    try:
        told = json.loads(path.read_text())
        age = time.time() - path.stat().st_mtime
    except (OSError, ValueError):
        return {"alive": False}
    return told | {"alive": age < SILENT_SECONDS} if isinstance(told, dict) else {"alive": False}
