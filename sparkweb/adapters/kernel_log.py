"""What the kernel says of GPUs and memory, read from /dev/kmsg without ever waiting.

Sources: Documentation/ABI/testing/dev-kmsg; NVIDIA's Xid messages ("NVRM: Xid (PCI:0000:01:00): 79, …");
NV_ERR_NO_MEMORY before a host wedges (NVIDIA/open-gpu-kernel-modules issue 1358). Good starts print
NV_ERR_NO_MEMORY too (vllm issue 56824): it is a sign, no verdict.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

KMSG = Path("/dev/kmsg")
RECORD_LIMIT_BYTES = 8192
RECORDS_AT_ONCE = 2_000
TEXT_LIMIT = 240

_XID = re.compile(r"NVRM: Xid \((?:PCI:)?([0-9a-fA-F:.]+)\): (\d{1,4}),?\s*(.*)")
_OOM = re.compile(
    r"(Out of memory: Killed process \d+ \([^)]*\)|oom-kill:.*|Memory cgroup out of memory: .*)"
)


@dataclass(frozen=True)
class KernelEvent:
    """One line of note. `kind`: xid, no_memory or oom_kill; `code` and `gpu` (a PCI address) for xid."""

    kind: str
    text: str
    seconds: float
    code: int | None = None
    gpu: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def event_of(record: str) -> KernelEvent | None:
    """The event in one record of /dev/kmsg ("6,1234,5678901,-;text"), None for all others.

    `seconds` is the kernel's clock since boot.
    """
    head, separator, text = record.partition(";")
    text = text.split("\n", 1)[0][:TEXT_LIMIT]
    parts = head.split(",")
    if not separator or len(parts) < 3 or not parts[2].isdigit():
        return None
    seconds = int(parts[2]) / 1e6
    if found := _XID.search(text):
        return KernelEvent("xid", text, seconds, int(found[2]), found[1])
    if "NV_ERR_NO_MEMORY" in text:
        return KernelEvent("no_memory", text, seconds)
    return KernelEvent("oom_kill", text, seconds) if _OOM.search(text) else None


class KernelLog:
    """Reads what is new. `status`: ok, denied, missing or lost; `message` says why."""

    def __init__(self, path: Path = KMSG) -> None:
        self._path = path
        self._file: int | None = None
        self.status, self.message = "missing", ""
        self._open()

    def read(self) -> list[KernelEvent]:
        """The events since the last call, at most 2,000 records; [] while nothing can be read."""
        if self._file is None:
            return []
        found = []
        for _ in range(RECORDS_AT_ONCE):
            try:
                record = os.read(self._file, RECORD_LIMIT_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == errno.EPIPE:  # the ring went round under us; go on with what is there
                    continue
                self.status, self.message = "lost", str(error)
                self.close()
                break
            if not record:
                break
            lines = record.decode(errors="replace").splitlines()
            found += [event for line in lines if (event := event_of(line)) is not None]
        return found

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> None:
        try:
            self._file = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._file, 0, os.SEEK_END)
            self.status = "ok"
        except PermissionError:
            self.status = "denied"
            self.message = "The kernel's log may be read by root alone (kernel.dmesg_restrict)"
        except OSError as error:
            if self._file is not None and error.errno == errno.ESPIPE:  # a pipe, in tests
                self.status = "ok"
                return
            self.status, self.message = "missing", f"There is no kernel log to read: {error.strerror}"
