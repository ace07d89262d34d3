"""The last minutes of a node on its disk: what it reported, each second, synced. No Django.

Two files take turns, each up to 120 records; one is emptied when the other is full, so that at least the last
120 s are always there. A record is length, checksum, and a report as zstd-compressed JSON: a record that
a power cut tore is found out and left away. A file that says so at its end was closed in order.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import zstandard

RECORDS = 120
RECORD_LIMIT_BYTES = 1 << 20
_HEAD = struct.Struct("<II")
_CLOSED = b"closed"


@dataclass(frozen=True)
class Flight:
    """What was found: reports oldest first, and whether the recorder was closed in order."""

    reports: list[dict[str, Any]]
    closed: bool

    @property
    def host_boot(self) -> str:
        """The boot of the machine that wrote it, "" where the last report does not tell."""
        agent = (self.reports[-1].get("agent") or {}) if self.reports else {}
        return str(agent.get("host_boot") or "")


class FlightFile:
    """Writes records. One thread uses it."""

    def __init__(self, folder: Path) -> None:
        self._paths = paths(folder)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._turn = 0
        self._count = 0
        self._compressor = zstandard.ZstdCompressor(level=3)
        self._file = self._begin(0)

    def append(self, report: dict[str, Any]) -> None:
        """Write one report and wait until it is on the disk. Raises OSError."""
        if self._count >= RECORDS:
            os.close(self._file)
            self._turn = 1 - self._turn
            self._file, self._count = self._begin(self._turn), 0
        self._write(self._compressor.compress(orjson.dumps(report, default=str)))
        self._count += 1

    def close(self) -> None:
        """Say that this end is no accident."""
        self._write(_CLOSED)
        os.close(self._file)

    def _begin(self, turn: int) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        return os.open(self._paths[turn], flags, 0o600)

    def _write(self, payload: bytes) -> None:
        os.write(self._file, _HEAD.pack(len(payload), zlib.crc32(payload)) + payload)
        os.fdatasync(self._file)


def paths(folder: Path) -> tuple[Path, Path]:
    """The two files of a recorder."""
    return folder / "flight-a", folder / "flight-b"


def flight_read(folder: Path) -> Flight:
    """Return what an earlier recorder wrote; nothing where there is none. Torn records are left away."""
    reports: list[dict[str, Any]] = []
    closed = False
    for path in sorted(
        (path for path in paths(folder) if path.is_file()), key=lambda path: path.stat().st_mtime_ns
    ):
        closed = False
        for payload in _payloads(path.read_bytes()):
            if payload == _CLOSED:
                closed = True
                continue
            report = _report(payload)
            if report is not None:
                reports.append(report)
                closed = False
    return Flight(reports[-RECORDS:], closed)


def _payloads(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, at)
        payload = data[at + _HEAD.size : at + _HEAD.size + length]
        if len(payload) != length or zlib.crc32(payload) != checksum:
            break
        found.append(payload)
        at += _HEAD.size + length
    return found


def _report(payload: bytes) -> dict[str, Any] | None:
    try:
        report = orjson.loads(zstandard.ZstdDecompressor().decompress(payload, RECORD_LIMIT_BYTES))
    except (zstandard.ZstdError, orjson.JSONDecodeError):
        return None
    return report if isinstance(report, dict) else None


def flight_pack(flight: Flight) -> bytes:
    """A flight as bytes for web: compressed JSON."""
    return zstandard.compress(orjson.dumps({"reports": flight.reports}), 6)


def flight_unpack(data: bytes, limit_bytes: int) -> list[dict[str, Any]]:
    """The reports of flight_pack(). Raises ValueError for what is none, or unpacks to more than the limit."""
    try:
        found = orjson.loads(zstandard.ZstdDecompressor().decompress(data, limit_bytes))
        reports = found["reports"]
    except (zstandard.ZstdError, orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"no flight: {error}") from error
    if not isinstance(reports, list) or not all(isinstance(report, dict) for report in reports):
        raise ValueError("no flight: reports must be a list of objects")
    return reports[-RECORDS:]
