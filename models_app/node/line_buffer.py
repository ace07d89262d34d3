"""Log lines on their way to a stream: bounded, newest wins, what is dropped is counted."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

LINES_LIMIT = 5000
BYTES_LIMIT = 2_000_000
LINES_PER_SECOND = 5000
BYTES_PER_SECOND = 2_000_000
BATCH_LINES = 500
BATCH_BYTES = 96_000


@dataclass
class Batch:
    """What is due next: a reset, a number of dropped lines (or a jump past uncounted ones), lines, end."""

    reset: bool = False
    skipped: int = 0
    jumped: bool = False
    lines: list[str] = field(default_factory=list)
    end: bool = False

    def __bool__(self) -> bool:
        return self.reset or self.skipped > 0 or self.jumped or bool(self.lines) or self.end


class LineBuffer:
    """Between a reader that must not wait and a writer that may have to. Safe for threads."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._bytes = 0
        self._skipped = 0
        self._jumped = False
        self._reset = False
        self._end = False
        self._lock = threading.Lock()
        self._second = 0
        self._spent_lines = 0
        self._spent_bytes = 0

    def reset(self) -> None:
        """The lines begin anew: forget what was not written yet."""
        with self._lock:
            self._lines.clear()
            self._bytes = self._skipped = 0
            self._jumped = False
            self._reset, self._end = True, False

    def put(self, lines: list[str]) -> None:
        """Add lines; the oldest are dropped and counted once the bounds are reached."""
        with self._lock:
            self._lines.extend(lines)
            self._bytes += sum(map(len, lines))
            while len(self._lines) > LINES_LIMIT or self._bytes > BYTES_LIMIT:
                self._bytes -= len(self._lines.popleft())
                self._skipped += 1

    def jump(self, lines: list[str]) -> None:
        """Go on with these newest lines: those that wait, and more before these, are not shown."""
        with self._lock:
            self._lines.clear()
            self._bytes = self._skipped = 0
            self._jumped = True
        self.put(lines)

    def end(self) -> None:
        """Nothing more will come."""
        with self._lock:
            self._end = True

    def take(self, now: float) -> Batch:
        """The next batch, empty when there is nothing or this second's allowance is spent.

        `now` is monotonic seconds. Lengths are counted in characters.
        """
        with self._lock:
            if int(now) != self._second:
                self._second, self._spent_lines, self._spent_bytes = int(now), 0, 0
            batch = Batch(reset=self._reset, jumped=self._jumped)
            allowed = min(BATCH_LINES, LINES_PER_SECOND - self._spent_lines)
            size = 0
            while self._lines and len(batch.lines) < allowed and self._may_spend(size):
                line = self._lines.popleft()
                size += len(line)
                batch.lines.append(line)
            if batch.lines:
                batch.skipped, self._skipped = self._skipped, 0
            self._bytes -= size
            self._spent_lines += len(batch.lines)
            self._spent_bytes += size
            batch.end = self._end and not self._lines
            self._reset, self._jumped = False, False
            self._end = self._end and not batch.end
            return batch

    def is_empty(self) -> bool:
        """Whether everything was taken."""
        with self._lock:
            return not (self._lines or self._reset or self._jumped or self._end)

    def put_back(self, batch: Batch) -> None:
        """A batch could not be written: it is the next one again, unless all began anew meanwhile."""
        with self._lock:
            if self._reset or self._jumped:
                return
            self._lines.extendleft(reversed(batch.lines))
            self._bytes += sum(map(len, batch.lines))
            self._skipped += batch.skipped
            self._reset, self._jumped = batch.reset, batch.jumped
            self._end = self._end or batch.end

    def _may_spend(self, size: int) -> bool:
        return size < BATCH_BYTES and self._spent_bytes + size < BYTES_PER_SECOND
