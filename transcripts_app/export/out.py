"""Where an export is written: a folder or a ZIP file, whole or not there at all, with a digest of every file.

The same files give the same bytes: no clock, no host and no user stands in them. No Django here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

MANIFEST = "MANIFEST.json"
MARK = "sparkweb-transcripts"
VERSION = 1
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
READ_BYTES = 2**20


class ExportRefused(Exception):
    """An export that is not made; the sentence says why."""


@dataclass(frozen=True)
class Written:
    """A file of an export."""

    bytes: int
    sha256: str


class File:
    """A file while it is written: texts as UTF-8, what no UTF-8 can hold replaced."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._digest, self.bytes = file, hashlib.sha256(), 0

    def write(self, data: str | bytes) -> None:
        raw = data if isinstance(data, bytes) else data.encode(errors="replace")
        self._file.write(raw)
        self._digest.update(raw)
        self.bytes += len(raw)

    def written(self) -> Written:
        return Written(self.bytes, self._digest.hexdigest())


class Out(Protocol):
    """A place for files, one open at a time."""

    files: dict[str, Written]

    def file(self, name: str) -> contextlib.AbstractContextManager[File]: ...

    def reuse(self, names: Iterable[str]) -> bool: ...

    def done(self, about: dict[str, Any]) -> None: ...

    def drop(self) -> None: ...


class FolderOut:
    """A folder, written under another name beside it and put in its place once it is whole.

    `reuse` takes files over from the export that is there. Raises ExportRefused where something else is.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.files = path, dict[str, Written]()
        self.before = manifest_read(path) if path.is_dir() else {}
        if path.exists() and not self.before and (not path.is_dir() or any(path.iterdir())):
            raise ExportRefused(f"{path} is there and is no export of SparkWeb; choose another folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._remains_remove()
        self.partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
        self.partial.mkdir(mode=0o700)

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[File]:
        path = self.partial / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as raw:
            file = File(raw)
            yield file
        self.files[name] = file.written()

    def reuse(self, names: Iterable[str]) -> bool:
        """Take files over as they are; False, and none taken, where one is not as its digest says."""
        kept, told = {}, self.before.get("files", {})
        for name in names:
            path, entry = self.path / name, told.get(name)
            if not entry or not path.is_file() or path.stat().st_size != entry["bytes"]:
                return False
            kept[name] = Written(entry["bytes"], entry["sha256"])
        for name in kept:
            target = self.partial / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(self.path / name, target)
            except OSError:
                shutil.copyfile(self.path / name, target)
        self.files |= kept
        return True

    def done(self, about: dict[str, Any]) -> None:
        """Write the manifest and put the folder in its place."""
        (self.partial / MANIFEST).write_bytes(manifest_bytes(self.files, about))
        self.partial.chmod(0o755)
        old = self.path.with_name(f".{self.path.name}.old-{os.getpid()}")
        if self.path.exists():
            self.path.rename(old)
        self.partial.rename(self.path)
        shutil.rmtree(old, ignore_errors=True)

    def drop(self) -> None:
        """Take away what was written; what was there before stays."""
        shutil.rmtree(self.partial, ignore_errors=True)

    def _remains_remove(self) -> None:
        """Folders that killed runs left behind; one whose process lives is not touched."""
        for path in self.path.parent.glob(f".{self.path.name}.partial-*"):
            number = path.name.rpartition("-")[2]
            if number.isdigit() and not Path(f"/proc/{number}").exists():
                shutil.rmtree(path, ignore_errors=True)


class ZipOut:
    """A ZIP file, written under another name beside it."""

    def __init__(self, path: Path) -> None:
        self.path, self.files = path, dict[str, Written]()
        self.partial = path.with_name(f".{path.name}.partial")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._zip = zipfile.ZipFile(self.partial, "w", zipfile.ZIP_DEFLATED, allowZip64=True, compresslevel=6)

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[File]:
        with self._zip.open(self._entry(name), "w", force_zip64=True) as raw:
            file = File(raw)
            yield file
        self.files[name] = file.written()

    def reuse(self, names: Iterable[str]) -> bool:
        return False

    def done(self, about: dict[str, Any]) -> None:
        self._zip.writestr(self._entry(MANIFEST), manifest_bytes(self.files, about))
        self._zip.close()
        self.partial.rename(self.path)

    def drop(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._zip.close()
        self.partial.unlink(missing_ok=True)

    @staticmethod
    def _entry(name: str) -> zipfile.ZipInfo:
        entry = zipfile.ZipInfo(name, ZIP_TIME)
        entry.compress_type, entry.external_attr, entry.create_system = zipfile.ZIP_DEFLATED, 0o644 << 16, 3
        return entry


def manifest_bytes(files: dict[str, Written], about: dict[str, Any]) -> bytes:
    """The manifest: what was exported how, and every file with its size and SHA-256, in order."""
    told = {name: {"bytes": one.bytes, "sha256": one.sha256} for name, one in sorted(files.items())}
    whole = {"mark": MARK, "version": VERSION, **about, "files": told}
    return (json.dumps(whole, indent=1, ensure_ascii=False) + "\n").encode(errors="replace")


def manifest_read(folder: Path) -> dict[str, Any]:
    """Return the manifest of an export; empty for a folder that is none."""
    try:
        told = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}
    good = isinstance(told, dict) and told.get("mark") == MARK and isinstance(told.get("files"), dict)
    return told if good else {}


def export_verify(path: Path) -> list[str]:
    """Compare an export, a folder or ZIP file, with its manifest. Returns what is wrong, in sentences."""
    if path.is_dir():
        told = manifest_read(path)
        if not told:
            return [f"{path} holds no {MANIFEST} of SparkWeb"]
        there = {str(one.relative_to(path)) for one in path.rglob("*") if one.is_file()}
        return _compared(told["files"], there, lambda name: (path / name).open("rb"))
    try:
        with zipfile.ZipFile(path) as opened:
            told = json.loads(opened.read(MANIFEST))
            return _compared(told["files"], set(opened.namelist()), opened.open)
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        return [f"{path} is no export of SparkWeb: {error}"]


def _compared(told: dict[str, Any], there: set[str], opened: Any) -> list[str]:
    wrong = [f"{name} is not in the manifest" for name in sorted(there - told.keys() - {MANIFEST})]
    for name, entry in sorted(told.items()):
        if name not in there:
            wrong.append(f"{name} is missing")
            continue
        digest = hashlib.sha256()
        try:
            with opened(name) as file:
                while piece := file.read(READ_BYTES):
                    digest.update(piece)
        except (OSError, zipfile.BadZipFile, zlib.error) as error:
            wrong.append(f"{name} cannot be read: {error}")
            continue
        if digest.hexdigest() != entry["sha256"]:
            wrong.append(f"{name} was changed")
    return wrong
