"""Readings that may block for ever, done aside: the second never waits for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class _Slot:
    asked_at: float
    busy: bool = False
    value: Any = None
    read_at: float | None = None


class SlowLane:
    """Keeps the newest answer of each slow reading, and repeats it in a thread of its own.

    statvfs on a dead NFS server blocks in the kernel; a thread that does stays
    behind, alone, and no second one is started for the same key.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, timeout_seconds: float = 5.0) -> None:
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._slots: dict[str, _Slot] = {}

    def get(self, key: str, read: Callable[[], Any], every_seconds: float) -> Any:
        """Return the newest answer of `read`, or None when it is overdue by the time-out, or failed.

        Starts `read` in the background when the answer is older than
        `every_seconds`. OSError means no answer. The first call waits up to
        50 ms, so that the first report is whole.
        """
        now = self._clock()
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = _Slot(now)
            self._start(slot, read).join(0.05)
        elif not slot.busy and (slot.read_at is None or now - slot.read_at >= every_seconds):
            self._start(slot, read)
        slot.asked_at = now
        if slot.read_at is None or now - slot.read_at > every_seconds + self._timeout_seconds:
            return None
        return slot.value

    def keep_only(self, keys: set[str]) -> None:
        """Forget readings that nobody asks for any more, except those still blocked."""
        for key in self._slots.keys() - keys:
            if not self._slots[key].busy:
                del self._slots[key]

    def _start(self, slot: _Slot, read: Callable[[], Any]) -> threading.Thread:
        slot.busy = True
        thread = threading.Thread(target=self._run, args=(slot, read), name="slow-lane", daemon=True)
        thread.start()
        return thread

    def _run(self, slot: _Slot, read: Callable[[], Any]) -> None:
        try:
            slot.value = read()
        except OSError:
            slot.value = None
        finally:
            slot.read_at = self._clock()
            slot.busy = False
