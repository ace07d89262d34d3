"""Taking transcripts out of an uploaded archive, trusting nothing in it. No Django here, no database.

One entry that escapes, links or lies has the whole archive refused, in a sentence that names it.
What is no transcript is left out. Nothing is read into memory whole.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn

from transcripts_app.importing.walk import place_of

KINDS = (".jsonl", ".zip", ".tar.gz", ".tgz")
PIECE = 2**20
MB = 2**20
DIRECTORY_MOST = 16 * MB
HEADER_MOST = 2 * MB
PART_MOST = 255
PATH_MOST = 1000


class UploadRefused(Exception):
    """The upload is not read; the sentence says which entry is why."""


@dataclass(frozen=True)
class Limits:
    """Bytes, counts, and how many times its own size an archive may grow (beyond `free` bytes)."""

    unpacked: int = 10 * 2**30
    entries: int = 50_000
    depth: int = 16
    ratio: int = 200
    free: int = 64 * MB
    disk_reserve: int = 0


@dataclass
class Unpacked:
    """What came out: paths of transcripts below the target, how much, and how many others were left."""

    paths: list[str] = field(default_factory=list)
    bytes: int = 0
    left_out: int = 0


Told = Callable[[int], None]
"""Told how many bytes came out so far."""


def unpack(
    source: Path, name: str, target: Path, limits: Limits | None = None, told: Told | None = None
) -> Unpacked:
    """Take the transcripts out of `source`, called `name`, into the empty folder `target`.

    Raises UploadRefused; what was written until then lies in `target`.
    """
    work = _Work(source, target, limits or Limits(), told or (lambda _: None))
    lower = name.lower()
    try:
        if lower.endswith(".zip"):
            work.zip()
        elif lower.endswith((".tar.gz", ".tgz")):
            work.tar()
        elif lower.endswith(".jsonl"):
            work.single(name)
        else:
            raise UploadRefused(f"{shown(name)} is none of {', '.join(KINDS)}.")
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise UploadRefused(f"{shown(name)} is damaged, or no such archive: {shown(str(error))}.") from None
    except (NotADirectoryError, FileExistsError, IsADirectoryError) as error:
        raise UploadRefused(
            f"{shown(name)} holds {shown(str(error.filename))} as a file and as a folder."
        ) from None
    return work.out


class _Work:
    def __init__(self, source: Path, target: Path, limits: Limits, told: Told) -> None:
        self.source, self.target, self.limits, self.told = source, target, limits, told
        self.size = source.stat().st_size
        self.out = Unpacked()
        self.entries = 0
        self.asked_at = 0

    def zip(self) -> None:
        _directory_check(self.source, self.size)
        with zipfile.ZipFile(self.source) as archive:
            for info in archive.infolist():
                self._count()
                path = self._path(info.orig_filename)
                kind = stat.S_IFMT(info.external_attr >> 16)
                if info.is_dir() or kind == stat.S_IFDIR:
                    continue
                if kind not in (0, stat.S_IFREG):
                    refuse(info.filename, _sort(kind))
                if info.flag_bits & 1:
                    refuse(info.filename, "is encrypted")
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    refuse(info.filename, "is packed in a way that is not read here")
                if not path:
                    self.out.left_out += 1
                    continue
                with archive.open(info) as entry:
                    self._write(path, entry, info.filename)

    def tar(self) -> None:
        with gzip.open(self.source) as packed:
            stream = _Stream(packed, self._grown)
            with tarfile.open(fileobj=stream, mode="r:", errors="surrogateescape") as archive:
                while (info := _next(archive)) is not None:
                    # The archive's own list would grow with each entry.
                    archive.members = []  # type: ignore[attr-defined]
                    self._count()
                    path = self._path(info.name)
                    if info.isdir():
                        continue
                    if not info.isreg():
                        refuse(info.name, _tar_sort(info))
                    if info.sparse is not None:
                        refuse(info.name, "has holes")
                    entry = archive.extractfile(info)
                    if not path or entry is None:
                        self.out.left_out += 1
                        continue
                    self._write(path, entry, info.name)

    def single(self, name: str) -> None:
        with self.source.open("rb") as file:
            self._write(_parts(name, self.limits.depth)[-1], file, name)

    def _count(self) -> None:
        self.entries += 1
        if self.entries > self.limits.entries:
            raise UploadRefused(f"It holds more than {self.limits.entries:,} entries.")

    def _path(self, name: str) -> str:
        """Where an entry goes; "" for what is no transcript. Raises UploadRefused for one that escapes."""
        parts = _parts(name, self.limits.depth)
        path = "/".join(_below_projects(parts))
        return path if path and place_of(path) else ""

    def _write(self, path: str, entry: IO[bytes], name: str) -> None:
        place = self.target / path
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if place.exists() or place.is_symlink():
            refuse(name, "is there twice")
        self._room()
        with place.open("xb") as file:
            while piece := entry.read(PIECE):
                self.out.bytes += len(piece)
                self._grown(self.out.bytes, name)
                file.write(piece)
                self.told(self.out.bytes)
        self.out.paths.append(path)

    def _grown(self, size: int, name: str = "") -> None:
        entry = f" at {shown(name)}" if name else ""
        if size > self.limits.unpacked:
            raise UploadRefused(f"It unpacks to more than {self.limits.unpacked // MB:,} MiB{entry}.")
        if size > self.limits.free and size > self.limits.ratio * self.size:
            raise UploadRefused(f"It unpacks to more than {self.limits.ratio} times its size{entry}.")
        if size - self.asked_at > self.limits.free:
            self.asked_at = size
            self._room()

    def _room(self) -> None:
        if shutil.disk_usage(self.target).free < self.limits.disk_reserve:
            raise UploadRefused("The disk of the data folder is full.")


class _Stream(io.RawIOBase):
    """What gzip gives, bounded: by how much in all, and how much at once, for tar believes its headers."""

    def __init__(self, packed: Any, grown: Callable[[int], None]) -> None:
        self._packed, self._grown = packed, grown

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0 or size > HEADER_MOST:
            raise UploadRefused("It has a header larger than any name needs.")
        data: bytes = self._packed.read(size)
        self._grown(self._packed.tell())
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        # Skipped in steps: a seek over what an entry claims would unpack it unbounded.
        at = self._packed.tell()
        while whence == 0 and offset - at > PIECE:
            at = self._packed.seek(at + PIECE)
            self._grown(at)
            if self._packed.tell() < at:
                break
        return int(self._packed.seek(offset, whence))

    def tell(self) -> int:
        return int(self._packed.tell())

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def refuse(name: str, why: str) -> NoReturn:
    """Refuse an upload for one of its entries."""
    raise UploadRefused(f"Its entry {shown(name)} {why}; nothing of it was read.")


def entry_parts(name: str) -> list[str]:
    """The parts of a name that somebody else gave. Raises UploadRefused for one that leads elsewhere."""
    return _parts(name, Limits().depth)


def unpack_name_check(name: str) -> None:
    """Raise UploadRefused for the name of an upload that could not be a file's."""
    if "/" in name or not _parts(name, 1):
        refuse(name, "is no name of a file")


def shown(name: str) -> str:
    """A name from an archive, fit to be shown."""
    clean = "".join(
        letter if unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else "\ufffd"
        for letter in name
    )
    return clean if len(clean) <= 120 else clean[:119] + "…"


def _parts(name: str, depth: int) -> list[str]:
    """The parts of an entry's name. Raises UploadRefused for one that leads elsewhere."""
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        refuse(name, "has control characters in its name")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        refuse(name, "has a name that is no UTF-8")
    if "\\" in name:
        refuse(name, "has a backslash in its name")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        refuse(name, "has an absolute name")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        refuse(name, "leads out of its folder")
    if size > PATH_MOST or any(len(part.encode()) > PART_MOST for part in parts):
        refuse(name, "has too long a name")
    if len(parts) > depth:
        refuse(name, f"lies more than {depth} folders deep")
    return parts


def _below_projects(parts: list[str]) -> list[str]:
    """`.claude/projects/-home-ada/x.jsonl` is `-home-ada/x.jsonl`, however much of it was packed."""
    for at in range(len(parts) - 2, -1, -1):
        if parts[at] == "projects" and parts[at + 1].startswith("-"):
            return parts[at + 1 :]
    return parts


def _next(archive: tarfile.TarFile) -> tarfile.TarInfo | None:
    return archive.next()


def _sort(kind: int) -> str:
    if kind == stat.S_IFLNK:
        return "is a link"
    return "is a device, pipe or socket"


def _tar_sort(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return "is a link"
    return "is a device, pipe or socket" if info.isdev() else "is of an unknown kind"


def _directory_check(source: Path, size: int) -> None:
    """Refuse a directory that would fill the memory, before zipfile reads it whole.

    It finds the directory as zipfile does. Source: PKWARE APPNOTE 4.3.14 to 4.3.16.
    """
    with source.open("rb") as file:
        file.seek(max(0, size - 65_557 - 76))
        tail = file.read()
    end = len(tail) - 22
    if end < 0 or tail[end : end + 4] != b"PK\x05\x06" or tail[-2:] != b"\0\0":
        end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) < end + 22:
        raise zipfile.BadZipFile("it has no directory")
    claimed = int.from_bytes(tail[end + 12 : end + 16], "little")
    if end >= 76 and tail[end - 20 : end - 16] == b"PK\x06\x07":
        claimed = max(claimed % 0xFFFFFFFF, int.from_bytes(tail[end - 36 : end - 28], "little"))
    if claimed > DIRECTORY_MOST:
        raise UploadRefused("Its directory is larger than that of any archive of transcripts.")


def paths_move(unpacked: Unpacked, folder: Path, root: Path) -> Iterator[str]:
    """Move what was unpacked into `folder` below `root`, in place of what lies there; yield each path."""
    for path in unpacked.paths:
        place = root / path
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.replace(folder / path, place)
        yield path
