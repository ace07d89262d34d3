"""Files of runs as nodes send them: in pieces, resumed, checked, within their limits."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import re
import shutil
import time
import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, Sum
from django.utils import timezone

from sandbox_app.models import Artifact, ArtifactKind, ToolRun
from sandbox_app.rasters import raster_type
from sparkweb.config import DISK_RESERVE_GB

log = structlog.get_logger(__name__)

PIECE_BYTES = 4 * 2**20
HEADER_BYTES = 4096
FILES_MOST = 100
# A node sends what a run left before or soon after it tells its end.
AFTER_END_SECONDS = 3600.0
PRUNE_AT_ONCE = 50
MB = 10**6
_HEX = re.compile(r"[0-9a-f]{64}")
_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,50}")


class PieceRefused(Exception):
    """A piece that is not taken, with the HTTP status that says why; 507: there is no room."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class PieceElsewhere(Exception):
    """Another piece is expected: the one at `offset`."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"expected the piece at {offset}")
        self.offset = offset


@dataclass(frozen=True)
class Piece:
    """What the header line of a piece says."""

    run: str
    kind: ArtifactKind
    name: str
    media_type: str
    size_bytes: int
    sha256: str
    offset: int
    last: bool


def piece_read(body: bytes) -> tuple[Piece, bytes]:
    """Header and bytes of a piece. Raises PieceRefused for what is none."""
    line, newline, data = body.partition(b"\n")
    if not newline or len(line) > HEADER_BYTES or len(data) > PIECE_BYTES:
        raise PieceRefused(400, f"a header line and at most {PIECE_BYTES} bytes are expected")
    try:
        return _piece(json.loads(line)), data
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise PieceRefused(400, f"the header cannot be read: {error}") from None


def _piece(told: dict[str, Any]) -> Piece:
    size, offset, digest = told["size_bytes"], told["offset"], str(told["sha256"])
    if not all(type(one) is int and 0 <= one < 2**50 for one in (size, offset)):
        raise ValueError("size_bytes and offset must be numbers of bytes")
    if not _HEX.fullmatch(digest):
        raise ValueError("sha256 must be 64 hex digits")
    media_type = str(told.get("media_type") or "").lower()
    if not _TYPE.fullmatch(media_type):
        media_type = "application/octet-stream"
    return Piece(
        run=str(told["run"])[:16].replace("\0", ""),
        kind=ArtifactKind(told["kind"]),
        name=name_clean(str(told["name"])),
        media_type=media_type,
        size_bytes=size,
        sha256=digest,
        offset=offset,
        last=told["last"] is True,
    )


def name_clean(name: str) -> str:
    """A file's name to be shown: one line, no control or direction characters, not a path upwards.

    Raises ValueError where nothing is left.
    """
    shown = "".join(c for c in name if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    parts = [part for part in shown.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    if not parts:
        raise ValueError("name is empty")
    return "/".join(parts)[-200:]


def piece_store(node_name: str, body: bytes) -> Artifact | None:
    """Take a piece; the artifact once its last piece is there. Twice is as good as once.

    Raises PieceRefused, and PieceElsewhere where another offset is expected.
    """
    piece, data = piece_read(body)
    run = ToolRun.objects.filter(uid=piece.run, node_name=node_name).first()
    if run is None or not _takes_files(run):
        raise PieceRefused(404, "no such run of this node takes files")
    if there := Artifact.objects.filter(run=run, kind=piece.kind, name=piece.name).first():
        if there.sha256 == piece.sha256:
            return there
        raise PieceRefused(409, f"{piece.name} is there already, with other bytes")
    _room_check(run, piece)
    part = run_folder(run.uid) / f"{_key(piece)}.part"
    _append(part, piece, data)
    if not piece.last:
        return None
    return _finish(run, piece, part)


def _takes_files(run: ToolRun) -> bool:
    return run.live or (
        run.ended_at is not None and (timezone.now() - run.ended_at).total_seconds() < AFTER_END_SECONDS
    )


def _room_check(run: ToolRun, piece: Piece) -> None:
    """Raise PieceRefused where the file exceeds what a run may leave, or the disk what it must keep."""
    rows = Artifact.objects.filter(run=run)
    held = rows.aggregate(size=Sum("size_bytes"))["size"] or 0
    parts = [path for path in run_folder(run.uid).glob("*.part") if path.stem != _key(piece)]
    begun = sum(_size(path) for path in parts)
    if piece.size_bytes + held + begun > settings.ARTIFACT_RUN_MB * MB:
        raise PieceRefused(413, f"a run may leave {settings.ARTIFACT_RUN_MB} MB of files")
    if piece.offset == 0 and rows.count() + len(parts) >= FILES_MOST:
        raise PieceRefused(413, f"a run may leave {FILES_MOST} files")
    root = artifacts_root()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if shutil.disk_usage(root).free - piece.size_bytes < DISK_RESERVE_GB * 2**30:
        raise PieceRefused(507, "the disk of the data folder is full")


def _size(path: Path) -> int:
    """Bytes of a file; 0 for one that has just gone."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _append(part: Path, piece: Piece, data: bytes) -> None:
    """Write a piece at its place: exactly after what is there."""
    try:
        part.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        there = part.stat().st_size if part.exists() else 0
        if piece.offset == 0 and there:
            part.unlink()  # its node begins anew
            there = 0
        if piece.offset != there:
            raise PieceElsewhere(there)
        if there + len(data) > piece.size_bytes:
            part.unlink(missing_ok=True)
            raise PieceRefused(400, f"{piece.name} is longer than it was said to be")
        with part.open("ab") as file:
            file.write(data)
    except OSError as error:
        part.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise PieceRefused(507, "the disk of the data folder is full") from None
        raise


def _finish(run: ToolRun, piece: Piece, part: Path) -> Artifact:
    """Check what came, and make the row. A file that is not what it was said to be goes."""
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        head = file.read(65536)
    if part.stat().st_size != piece.size_bytes or digest != piece.sha256:
        part.unlink()
        raise PieceRefused(400, f"{piece.name} did not arrive as it was; send it again")
    kind, media_type = _as_seen(piece, head)
    artifact = Artifact(
        run=run, kind=kind, name=piece.name, media_type=media_type, size_bytes=piece.size_bytes, sha256=digest
    )
    part.replace(artifact_path(artifact))
    try:
        with transaction.atomic():
            artifact.save()
    except IntegrityError:  # the same last piece at the same moment
        artifact_path(artifact).unlink(missing_ok=True)
        return Artifact.objects.get(run=run, kind=kind, name=piece.name)
    artifacts_fit()
    return artifact


def _as_seen(piece: Piece, head: bytes) -> tuple[ArtifactKind, str]:
    """An image is what begins as one; whatever else says that it is a picture is a file."""
    if piece.kind in (ArtifactKind.STDOUT, ArtifactKind.STDERR):
        return piece.kind, "text/plain"
    if seen := raster_type(head):
        return ArtifactKind.IMAGE, seen
    shown = piece.media_type.startswith("image/")
    return ArtifactKind.FILE, "application/octet-stream" if shown else piece.media_type


def _key(piece: Piece) -> str:
    return hashlib.sha256(f"{piece.kind}/{piece.name}".encode()).hexdigest()[:32]


# Places and limits --------------------------------------------------------------------


def artifacts_root() -> Path:
    return Path(settings.DATA_DIR) / "artifacts"


def run_folder(uid: str) -> Path:
    """The folder of one run; its uid is 16 hex digits of ours."""
    return artifacts_root() / uid


def artifact_path(artifact: Artifact) -> Path:
    """Where its bytes lie: by uids of ours, never by what somebody named it."""
    return run_folder(artifact.run.uid) / artifact.uid


def artifacts_fit() -> int:
    """Drop the oldest files until all together are within their limit; how many went."""
    excess = (Artifact.objects.aggregate(size=Sum("size_bytes"))["size"] or 0) - settings.ARTIFACTS_MB * MB
    dropped = 0
    for row in Artifact.objects.select_related("run").order_by("pk")[:PRUNE_AT_ONCE] if excess > 0 else ():
        if excess <= 0:
            break
        excess -= row.size_bytes
        artifact_drop(row)
        dropped += 1
    return dropped


def artifact_drop(artifact: Artifact) -> None:
    """Remove a file and its row; the audit keeps its name and digest."""
    path = artifact_path(artifact)
    artifact.delete()
    path.unlink(missing_ok=True)


def folders_tidy() -> int:
    """Remove folders of runs that are forgotten, and pieces that were never finished; how many folders."""
    root = artifacts_root()
    if not root.is_dir():
        return 0
    folders = {path.name: path for path in root.iterdir()}
    wanted = Q(artifacts__isnull=False) | Q(live=True)
    recent = timezone.now() - timedelta(seconds=AFTER_END_SECONDS)
    rows = ToolRun.objects.filter(uid__in=folders).filter(wanted | Q(ended_at__gt=recent))
    known = set(rows.values_list("uid", flat=True))
    gone = [path for name, path in folders.items() if name not in known]
    for path in gone:
        shutil.rmtree(path, ignore_errors=True)
    for part in root.glob("*/*.part"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - part.stat().st_mtime > AFTER_END_SECONDS:
                part.unlink()
    return len(gone)
