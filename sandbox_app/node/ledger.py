"""Which runs this node has begun and ended: one small file for each, so that none is ever run twice.

A run that has begun and not ended when the agent starts is lost: the agent that ran it was killed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import time
from pathlib import Path
from typing import Any

KEEP_SECONDS = 86400.0
FORGET_EVERY = 500  # an agent may live for months


class Ledger:
    """Files below `folder`. Any thread may call."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._ended = itertools.count(1)

    def begin(self, run: str, facts: dict[str, Any]) -> bool:
        """Write down that a run begins; False if it has before. Raises OSError when the disk refuses."""
        if (self._folder / f"{_name(run)}.ended").exists():
            return False
        try:
            file = os.open(self._folder / f"{_name(run)}.begun", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return False
        with os.fdopen(file, "w") as text:
            json.dump(facts, text)
        return True

    def end(self, run: str) -> None:
        """Its end is in the journal."""
        with contextlib.suppress(FileNotFoundError):
            (self._folder / f"{_name(run)}.begun").rename(self._folder / f"{_name(run)}.ended")
        if next(self._ended) % FORGET_EVERY == 0:
            self.forget()

    def knows(self, run: str) -> bool:
        """Whether it has begun or ended here."""
        name = _name(run)
        return any((self._folder / f"{name}.{state}").exists() for state in ("begun", "ended"))

    def left(self) -> list[tuple[str, dict[str, Any]]]:
        """Runs that have begun and not ended, with what was written down."""
        found = []
        for path in sorted(self._folder.glob("*.begun")):
            try:
                found.append((path.stem, dict(json.loads(path.read_text()))))
            except (OSError, ValueError):
                found.append((path.stem, {}))
        return found

    def forget(self) -> None:
        """Drop what ended a day ago: no nudge is that late."""
        for path in self._folder.glob("*.ended"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > KEEP_SECONDS:
                    path.unlink()


def _name(run: str) -> str:
    """A run's uid as a file name. Raises ValueError for what is no uid."""
    if not re.fullmatch(r"[0-9A-Za-z-]{1,64}", run):
        raise ValueError(f"{run[:80]!r} is no run's uid")
    return run
