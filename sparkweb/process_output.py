"""Where the output of child processes goes: files that rotate, and the terminal.

No Django and no logging module here: the supervisor stays small.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from pathlib import Path
from typing import BinaryIO

FILE_LIMIT_BYTES = 5_000_000
FILES_KEPT = 3
LINE_LIMIT_BYTES = 65_536
COLOURS = (36, 32, 33, 35, 34)
NAME_WIDTH = 8


class RotatingFile:
    """An appended file; at `limit` bytes it becomes `.1`, which becomes `.2`, up to `kept`."""

    def __init__(self, path: Path, limit: int = FILE_LIMIT_BYTES, kept: int = FILES_KEPT) -> None:
        self.path = path
        self.limit = limit
        self.kept = kept
        self.file: BinaryIO | None = None
        self.size = 0

    def write(self, line: bytes) -> None:
        """Append one line. A full disk loses the line, never the process."""
        try:
            if self.file is None or self.size + len(line) > self.limit:
                self._open(rotate=self.file is not None)
            assert self.file is not None
            self.size += self.file.write(line)
        except OSError:
            self.close()

    def close(self) -> None:
        if self.file is not None:
            with contextlib.suppress(OSError):
                self.file.close()
        self.file = None

    def _open(self, rotate: bool) -> None:
        self.close()
        self.size = self.path.stat().st_size if self.path.exists() else 0
        if rotate or self.size > self.limit:
            for number in range(self.kept, 0, -1):
                older = self.path if number == 1 else self._numbered(number - 1)
                with contextlib.suppress(FileNotFoundError):
                    older.replace(self._numbered(number))
            self.size = 0
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.file = os.fdopen(descriptor, "ab", buffering=0)

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


class Terminal:
    """Lines for whoever watches. One that is paused or gone never holds up the processes."""

    def __init__(self, descriptor: int = 1) -> None:
        self.descriptor = descriptor
        self.colours = os.isatty(descriptor) and "NO_COLOR" not in os.environ
        self.dropped = 0
        self.names: list[str] = []

    def line(self, name: str, text: bytes) -> None:
        """Write `name | text`; an empty name gives the bare line."""
        if self.dropped and self._ready():
            missed, self.dropped = self.dropped, 0
            self._write(f"({missed} lines were not shown here; the log files have them)\n".encode())
        if not self._write((self._prefix(name) + text.rstrip(b"\r\n") + b"\n") if name else text):
            self.dropped += 1

    def _prefix(self, name: str) -> bytes:
        if name not in self.names:
            self.names.append(name)
        label = f"{name:<{NAME_WIDTH}} │ "
        if self.colours:
            label = f"\x1b[{COLOURS[self.names.index(name) % len(COLOURS)]}m{label}\x1b[0m"
        return label.encode()

    def _ready(self) -> bool:
        try:
            return bool(select.select([], [self.descriptor], [], 0)[1])
        except (OSError, ValueError):
            return False

    def _write(self, data: bytes) -> bool:
        # A pipe that polls as writable takes 4096 bytes without blocking (pipe(7), PIPE_BUF).
        for start in range(0, len(data), 4096):
            if not self._ready():
                return False
            try:
                os.write(self.descriptor, data[start : start + 4096])
            except OSError:
                return False
        return True


class LineSplitter:
    """Whole lines out of a stream of bytes; a line without end is cut at 64 kB."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that are complete now, each with its newline."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        found = [line + b"\n" for line in lines]
        if len(self.rest) > LINE_LIMIT_BYTES:
            found.append(self.flush())
        return found

    def flush(self) -> bytes:
        """Return what has no newline yet, with one; empty if there is nothing."""
        rest, self.rest = self.rest, b""
        return rest + b"\n" if rest else b""


def stamp() -> str:
    """The time for a line of the supervisor's own, like the other processes' lines (UTC)."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
