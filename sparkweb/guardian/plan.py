"""What may be ended, and when: one small file that the agent writes each second and the guardian reads.

The file is written in place, so that the guardian reads it by a descriptor that
it opened long before; a checksum tells a half-written plan, which is not taken.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sparkweb.guardian.decide import KINDS, Floors, Victim
from sparkweb.guardian.records import PLAN_FILE

HEADER_FORMAT = b"%020d %08d %08x\n"
HEADER_BYTES = 39
BODY_LIMIT_BYTES = 512_000


@dataclass(frozen=True)
class Plan:
    """`end` tells the guardian to end; `agent_pid` and `agent_ticks` are who wrote it."""

    version: str
    floors: Floors
    victims: tuple[Victim, ...] = ()
    docker_socket: str = ""
    agent_pid: int = 0
    agent_ticks: int = 0
    end: bool = False


@dataclass
class PlanWriter:
    """Writes plans over one another. Raises OSError when the folder cannot be written."""

    path: Path
    _fd: int = field(default=-1)

    def write(self, plan: Plan) -> None:
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        body = json.dumps(asdict(plan), separators=(",", ":")).encode()
        if len(body) > BODY_LIMIT_BYTES:
            raise OSError(f"the guardian's plan has {len(body)} bytes, more than {BODY_LIMIT_BYTES}")
        header = HEADER_FORMAT % (time.monotonic_ns(), len(body), zlib.crc32(body))
        os.pwrite(self._fd, header + body, 0)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class PlanReader:
    """Reads plans. `plan` is the newest whole one, `written_at` when it was confirmed (monotonic seconds)."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._header = bytearray(HEADER_BYTES)
        self._body = bytearray(BODY_LIMIT_BYTES)
        self._checksum = -1
        self.plan: Plan | None = None
        self.written_at = float("-inf")

    def refresh(self) -> bool:
        """Take over what is new; True when the plan itself changed, not only its time."""
        if os.preadv(self._fd, [self._header], 0) < HEADER_BYTES:
            return False
        try:
            written, length, checksum = int(self._header[:20]), int(self._header[21:29]), self._header[30:38]
            expected = int(checksum, 16)
        except ValueError:
            return False
        if expected != self._checksum:
            plan = self._read(length, expected)
            if plan is None:
                return False
            self._checksum, self.plan = expected, plan
            self.written_at = written / 1e9
            return True
        self.written_at = written / 1e9
        return False

    @property
    def is_deleted(self) -> bool:
        """Whether the file was removed: the node's data folder is gone."""
        return os.fstat(self._fd).st_nlink == 0

    def _read(self, length: int, expected: int) -> Plan | None:
        if not 0 < length <= BODY_LIMIT_BYTES:
            return None
        body = memoryview(self._body)[:length]
        if os.preadv(self._fd, [body], HEADER_BYTES) < length or zlib.crc32(body) != expected:
            return None
        return plan_of_json(json.loads(bytes(body)))

    def close(self) -> None:
        os.close(self._fd)


def plan_of_json(data: Any) -> Plan | None:
    """Read what PlanWriter wrote; None for what another version wrote in another shape."""
    try:
        fields = dict(data)
        fields["floors"] = Floors(**fields["floors"])
        victims = tuple(Victim(**one) for one in fields["victims"])
        fields["victims"] = tuple(one for one in victims if one.kind in KINDS)
        return Plan(**fields)
    except (TypeError, KeyError, ValueError):
        return None


def victims_left(folder: Path) -> tuple[Victim, ...]:
    """The victims of the last plan in a node's folder; none when there is no such plan."""
    if not (folder / PLAN_FILE).exists():
        return ()
    reader = PlanReader(folder / PLAN_FILE)
    try:
        reader.refresh()
        return reader.plan.victims if reader.plan else ()
    finally:
        reader.close()
