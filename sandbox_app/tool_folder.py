"""A tool's folder as one tar, whose SHA-256 is the tool's digest. Pure but for reading files.

The same files always make the same bytes: names sorted, no times, no owners. Links and devices
are refused, so nothing from outside the folder can come in.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path

FILES_MOST = 200
FILE_BYTES_MOST = 8 * 2**20
FOLDER_BYTES_MOST = 16 * 2**20
DEPTH_MOST = 6
TOOL_FILE = "TOOL.md"
LEFT_OUT = ("__pycache__",)


class FolderRefused(ValueError):
    """A folder that cannot be taken; the sentence says which file, and why."""


@dataclass(frozen=True)
class FolderFile:
    """One file: its path within the folder, with /, and its bytes."""

    path: str
    executable: bool
    data: bytes


@dataclass(frozen=True)
class Folder:
    """A folder's files as they were read at once."""

    files: tuple[FolderFile, ...]

    @property
    def tool_file(self) -> bytes:
        """The TOOL.md's bytes."""
        return next(file.data for file in self.files if file.path == TOOL_FILE)

    @property
    def paths(self) -> frozenset[str]:
        """Every file's path."""
        return frozenset(file.path for file in self.files)

    def tar(self) -> bytes:
        """The files as a tar that is the same for the same files."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for file in self.files:
                entry = tarfile.TarInfo(file.path)
                entry.size, entry.mtime = len(file.data), 0
                entry.mode = 0o755 if file.executable else 0o644
                tar.addfile(entry, io.BytesIO(file.data))
        return buffer.getvalue()


def folder_digest(path: Path) -> str:
    """SHA-256, hex, of the tar of a folder. Raises FolderRefused."""
    return hashlib.sha256(folder_read(path).tar()).hexdigest()


def folder_read(path: Path) -> Folder:
    """Read a tool's folder. Names that begin with a dot and caches of Python are left out.

    Raises FolderRefused: no TOOL.md, a link, a device, a name that is no UTF-8, too many, too
    large, too deep, or a file that cannot be read.
    """
    found: list[FolderFile] = []
    total = 0
    try:
        for place in _walk(path, path, 0):
            if len(found) >= FILES_MOST:
                raise FolderRefused(f"it has more than {FILES_MOST} files")
            file = _file_read(path, place)
            total += len(file.data)
            if total > FOLDER_BYTES_MOST:
                raise FolderRefused(f"its files have more than {FOLDER_BYTES_MOST // 2**20} MiB")
            found.append(file)
    except OSError as error:
        raise FolderRefused(f"{Path(error.filename or path).name}: {error.strerror}") from None
    if not any(file.path == TOOL_FILE for file in found):
        raise FolderRefused(f"it has no {TOOL_FILE}")
    return Folder(tuple(sorted(found, key=lambda file: file.path)))


def _walk(root: Path, folder: Path, depth: int) -> list[Path]:
    if depth > DEPTH_MOST:
        raise FolderRefused(f"{folder.relative_to(root)} lies more than {DEPTH_MOST} folders deep")
    files: list[Path] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name in LEFT_OUT:
                continue
            place = Path(entry.path)
            if entry.is_symlink():
                raise FolderRefused(f"{place.relative_to(root)} is a link; put the file itself there")
            files += _walk(root, place, depth + 1) if entry.is_dir(follow_symlinks=False) else [place]
            if len(files) > FILES_MOST:
                raise FolderRefused(f"it has more than {FILES_MOST} files")
    return files


def _file_read(root: Path, place: Path) -> FolderFile:
    name = place.relative_to(root).as_posix()
    if not name.isprintable() or len(name) > 99 or name.encode("utf-8", "replace") != os.fsencode(name):
        raise FolderRefused(f"{name!a}: the name must be plain text of at most 99 characters")
    # O_NONBLOCK: a FIFO would wait for its other end.
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise FolderRefused(f"{name} is no regular file")
        data = file.read(FILE_BYTES_MOST + 1)
    if len(data) > FILE_BYTES_MOST:
        raise FolderRefused(f"{name} has more than {FILE_BYTES_MOST // 2**20} MiB")
    return FolderFile(name, bool(about.st_mode & 0o100), data)
