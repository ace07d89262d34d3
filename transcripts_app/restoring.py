"""Writing a session back to where Claude Code looks for it, as it was; never over something else."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from transcripts_app.archive.models import Session, TranscriptFile
from transcripts_app.store import file_bytes

ROLES = ("session", "agent", "journal", "result")


class RestoreRefused(Exception):
    """It cannot be written; the sentence says why."""


@dataclass
class Restored:
    """Paths below the folder: written, there already byte for byte, left where something else is."""

    root: str
    written: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    bytes: int = 0

    @property
    def sentence(self) -> str:
        """What was done, for people."""
        parts = [f"{len(self.written)} files written to {self.root}"]
        if self.there:
            parts.append(f"{len(self.there)} were there as they are here")
        if self.left:
            parts.append(
                f"{len(self.left)} left alone, for something else is there: {', '.join(self.left[:3])}"
            )
        return "; ".join(parts) + "."


def session_restore(session: Session, root: Path) -> Restored:
    """Write a session's files below `root`, with sub-agents and large outputs. Raises RestoreRefused.

    Each is byte for byte what was read, up to its last whole line, with today's date: with its own,
    Claude Code would purge it at its next start. What a sub-agent's meta.json told is written anew.
    A file that is there is never touched.
    """
    if not root.is_dir():
        raise RestoreRefused(f"{root} is no folder of this machine.")
    files = TranscriptFile.objects.filter(session=session, role__in=ROLES, read_to__gt=0)
    out = Restored(str(root))
    for file in files.order_by("path"):
        _write(root, file.path, file_bytes(file), out)
        if file.role == "agent" and file.meta:
            meta = json.dumps(file.meta, ensure_ascii=False).encode(errors="replace")
            _write(root, file.path.removesuffix(".jsonl") + ".meta.json", iter([meta]), out)
    if not (out.written or out.there or out.left):
        raise RestoreRefused("Nothing of this session was read that could be written.")
    return out


def _write(root: Path, path: str, pieces: Iterator[bytes], out: Restored) -> None:
    place = _place(root, path)
    temporary = place.with_name(f".{secrets.token_hex(8)}.restoring")
    size = 0
    try:
        with temporary.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            for piece in pieces:
                size += file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        try:
            place.hardlink_to(temporary)  # unlike a rename it fails where something is there
        except FileExistsError:
            (out.there if _same(temporary, place) else out.left).append(path)
        else:
            out.written.append(path)
            out.bytes += size
    except OSError as error:
        raise RestoreRefused(f"{path} cannot be written: {error.strerror}.") from None
    finally:
        temporary.unlink(missing_ok=True)


def _place(root: Path, path: str) -> Path:
    """Where a file goes: inside the root, whatever links lie there. Raises RestoreRefused."""
    parts = path.split("/")
    if path.startswith("/") or any(part in ("", ".", "..") for part in parts) or "\0" in path:
        raise RestoreRefused(f"{path!r} leads out of the folder.")
    place = root.joinpath(*parts)
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        inside = place.parent.resolve().is_relative_to(root.resolve())
    except OSError as error:
        raise RestoreRefused(f"{path} cannot be written: {error.strerror}.") from None
    if not inside:
        raise RestoreRefused(f"{path} leads out of the folder.")
    return place


def _same(one: Path, other: Path) -> bool:
    if other.is_symlink() or not other.is_file() or one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        while piece := first.read(2**20):
            if piece != second.read(len(piece)):
                return False
    return True
