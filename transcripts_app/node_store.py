"""Transcripts of other nodes as they send them: copies of their files, which the archive process follows.

A copy keeps its size when it was read: what lies in between is given back to the disk (a hole), so
that only what waits to be read takes room. Beginning and end stay, for they tell whether it grew.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from sparkweb.config import DISK_RESERVE_GB
from transcripts_app.importing.unpack import UploadRefused, entry_parts
from transcripts_app.importing.walk import place_of
from transcripts_app.models_requests import TranscriptSource
from transcripts_app.sources import PATH_MOST, owner_default
from transcripts_app.wire import Piece, print_of

SOURCES_MOST = 20
FILES_MOST = 100_000
HOLE, KEEP_SIZE = 0x02, 0x01
HEAD_BYTES = 64 * 1024
TAIL_BYTES = 256 * 1024
BLOCK = 4096
HELD_SECONDS = 3.0
_libc = ctypes.CDLL(None, use_errno=True)
_held = [float("-inf"), 0.0]


class PieceElsewhere(Exception):
    """Another piece is expected: the one at `held`, or the file anew."""

    def __init__(self, held: int) -> None:
        super().__init__(f"the piece at {held} is expected")
        self.held = held


class NodeRefused(Exception):
    """What a node sends is not taken; with the HTTP status that says why."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def sources_told(node: str, told: list[Any]) -> dict[str, bool]:
    """Note a node's folders; which of them are wanted. This machine's own are read where they lie."""
    if node == settings.NODE_NAME:
        return {
            str(one["path"]): False for one in told[:SOURCES_MOST] if isinstance(one, dict) and "path" in one
        }
    wanted: dict[str, bool] = {}
    known = set(TranscriptSource.objects.filter(node=node).values_list("path", flat=True))
    for one in told[:SOURCES_MOST]:
        path, problem = str(one.get("path", "")), str(one.get("problem", ""))[:500].replace("\0", "")
        if not path.startswith("/") or "\0" in path or len(path) > PATH_MOST or not _is_text(path):
            continue
        if path not in known and len(known) >= SOURCES_MOST:
            continue
        known.add(path)
        row, _ = TranscriptSource.objects.get_or_create(
            node=node, path=path, defaults={"owner": owner_default(), "added_by": f"node {node}"}
        )
        TranscriptSource.objects.filter(pk=row.pk).update(seen_at=timezone.now(), problem=problem)
        wanted[path] = row.enabled and row.removed_at is None and not problem
    return wanted


def source_wanted(node: str, path: str) -> TranscriptSource:
    """The source that a node sends for. Raises NodeRefused."""
    row = None
    if node != settings.NODE_NAME and "\0" not in path:
        row = TranscriptSource.objects.filter(node=node, path=path, enabled=True, removed_at=None).first()
    if row is None:
        raise NodeRefused(404, "No such folder of this node is wanted.")
    return row


def files_present(source: TranscriptSource, files: list[Any], *, complete: bool) -> dict[str, int]:
    """How much is held of each file that a node has; where it told all, copies of others go."""
    present = {path for path in files[:FILES_MOST] if isinstance(path, str)}
    root, held = mirror(source), dict[str, int]()
    for folder, _, names in os.walk(root):
        for name in names:
            place = Path(folder, name)
            path = str(place.relative_to(root))
            if path in present:
                held[path] = place.stat().st_size
            elif complete:
                place.unlink(missing_ok=True)
    return held


def piece_take(source: TranscriptSource, piece: Piece, data: bytes) -> int:
    """Put a piece behind what is held of its file; how much is held then. Twice is as good as once.

    Raises PieceElsewhere and NodeRefused.
    """
    place = mirror(source) / _checked(piece.path)
    _room_check(len(data))
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise NodeRefused(400, f"{piece.path} cannot be kept: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return _append(descriptor, place, piece, data)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NodeRefused(507, "The disk of the data folder is full.") from None
        raise
    finally:
        os.close(descriptor)


def _append(descriptor: int, place: Path, piece: Piece, data: bytes) -> int:
    held = os.fstat(descriptor).st_size
    if piece.anew and piece.offset == 0:
        os.ftruncate(descriptor, 0)
        held = 0
    if piece.offset != held:
        raise PieceElsewhere(held)
    if held and print_of(place, held) != piece.before:
        raise PieceElsewhere(held)
    os.lseek(descriptor, held, os.SEEK_SET)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.utime(descriptor, ns=(piece.mtime_ns, piece.mtime_ns))
    return held + len(data)


def mirrors_root() -> Path:
    """The folder of all copies."""
    return Path(settings.DATA_DIR) / "transcript-nodes"


def mirror(source: TranscriptSource) -> Path:
    """The folder of copies of one source: by a number of ours."""
    return mirrors_root() / str(source.pk)


def mirror_release(place: Path, read_to: int) -> None:
    """Give back to the disk what was read of a copy; where the disk knows no holes it stays."""
    start, end = HEAD_BYTES, (read_to - TAIL_BYTES) // BLOCK * BLOCK
    if end <= start:
        return
    try:
        descriptor = os.open(place, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        status = os.fstat(descriptor)
        if status.st_blocks * 512 > HEAD_BYTES + TAIL_BYTES + (status.st_size - read_to) + BLOCK:
            _libc.fallocate(descriptor, HOLE | KEEP_SIZE, ctypes.c_long(start), ctypes.c_long(end - start))
            os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))
    finally:
        os.close(descriptor)


def mirror_is_whole(place: Path, start: int) -> bool:
    """Whether a copy still has its bytes from `start` on: an archive that was set back would read a hole."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        size = os.fstat(descriptor).st_size
        return start >= size or os.lseek(descriptor, start, os.SEEK_HOLE) >= size
    except OSError:
        return True  # a disk that knows no holes has none
    finally:
        os.close(descriptor)


def _room_check(size: int) -> None:
    root = mirrors_root()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if shutil.disk_usage(root).free - size < DISK_RESERVE_GB * 2**30:
        raise NodeRefused(507, "The disk of the data folder is full.")
    if _held_bytes(root) > settings.TRANSCRIPT_SPOOL_MB * 2**20:
        raise NodeRefused(507, "Too much waits to be read; send it again later.")


def _held_bytes(root: Path) -> int:
    """What all copies take of the disk; asked at most each few seconds, for there may be thousands."""
    now = time.monotonic()
    if now - _held[0] > HELD_SECONDS:
        size = 0
        for folder, _, names in os.walk(root):
            for name in names:
                with contextlib.suppress(OSError):
                    size += Path(folder, name).stat().st_blocks * 512
        _held[:] = [now, size]
    return int(_held[1])


def _checked(path: str) -> str:
    try:
        parts = entry_parts(path)
    except UploadRefused as refused:
        raise NodeRefused(400, str(refused)) from None
    if "/".join(parts) != path or place_of(path) is None:
        raise NodeRefused(400, "That is no transcript.")
    return path


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
