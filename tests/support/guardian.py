"""A machine's memory as a file that a test writes, and guardians that watch it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from metrics_app.agent import container_group
from tests.support.node import Node

MIB = 2**20


class FakeMeminfo:
    """A /proc/meminfo of a small machine; written in place, for the guardian opens it once."""

    def __init__(self, path: Path, total_mib: int = 1024, available_mib: float = 1024) -> None:
        self.path = path
        self._total_mib = total_mib
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self.set(available_mib)

    def set(self, available_mib: float) -> None:
        kilobytes = max(0, int(available_mib * 1024))
        text = f"MemTotal:     {self._total_mib * 1024:>10} kB\nMemAvailable: {kilobytes:>10} kB\n"
        os.pwrite(self._fd, text.encode(), 0)

    def close(self) -> None:
        os.close(self._fd)


def group_memory_bytes(container_id: str, pid: int | None) -> int:
    """What a container's memory group counts, 0 once it is gone; the host's own memory does not matter."""
    folder = container_group(container_id, pid)
    for name in ("memory.usage_in_bytes", "memory.current"):
        try:
            return int((folder / name).read_text()) if folder else 0
        except (OSError, ValueError):
            continue
    return 0


class EatenMemory:
    """Keeps a FakeMeminfo at `total` less what the containers of one node have taken."""

    def __init__(self, node: Node, memory: FakeMeminfo, total_mib: int) -> None:
        self._node, self._memory, self._total_mib = node, memory, total_mib
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closing.wait(0.02):
            taken = sum(
                group_memory_bytes(victim.container_id, victim.pid)
                for victim in self._node.models.guarded.victims()
            )
            self._memory.set(self._total_mib - taken / MIB)

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
