"""A session's files as its owner reaches them from outside: list, read, write, delete, make a folder.

The session's own programs may change anything below at any moment, also to trap whoever looks: so
nothing is opened by a path twice, links are not followed anywhere, and only regular files with one
name are read or written. A file is looked at with O_PATH first, which wakes no device and no FIFO.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox_app.node.beneath import open_beneath

PIECE_BYTES = 4 * 2**20
PATH_BYTES_MOST = 1024
DEPTH_MOST = 32
ENTRIES_MOST = 1000
LISTING_BYTES = 512 * 1024
DELETED_MOST = 20_000
DELETE_SECONDS = 20.0
UPLOAD_PREFIX = ".sparkweb-upload-"
UPLOAD_STALE_SECONDS = 3600.0
_UPLOAD = re.compile(r"[0-9a-f]{16}")
_LOOK = os.O_PATH | os.O_CLOEXEC


class FilesRefused(Exception):
    """Something that is not done with these files; the sentence is shown, the code is for programs."""

    def __init__(self, sentence: str, code: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True)
class Piece:
    """Bytes of a file from `offset` on. `version` changes with the file."""

    data: bytes
    offset: int
    size_bytes: int
    modified_at: float
    version: str


def parts_of(path: str) -> list[str]:
    """The names in a path relative to the workspace; [] for the workspace itself. Raises FilesRefused."""
    if "\0" in path:
        raise FilesRefused("A path has no NUL in it.", "path_invalid")
    if path.startswith("/"):
        raise FilesRefused("A path is relative to the workspace: it begins without a slash.", "path_invalid")
    parts = [] if path in ("", ".") else path.removesuffix("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise FilesRefused("A path names files and folders, neither `.`, `..` nor nothing.", "path_invalid")
    try:
        encoded = [os.fsencode(part) for part in parts]
    except UnicodeEncodeError:
        raise FilesRefused("A path is valid Unicode.", "path_invalid") from None
    if sum(len(part) + 1 for part in encoded) > PATH_BYTES_MOST or len(parts) > DEPTH_MOST:
        raise FilesRefused(
            f"A path has at most {PATH_BYTES_MOST} bytes and {DEPTH_MOST} names.", "path_invalid"
        )
    if any(len(part) > 255 for part in encoded):
        raise FilesRefused("A name has at most 255 bytes.", "path_invalid")
    return parts


class WorkspaceFiles:
    """The files below one folder. To be closed, or used in a `with`."""

    def __init__(self, root: Path, owner: int, *, walk: bool = False) -> None:
        self._root = os.open(root, _LOOK | os.O_DIRECTORY | os.O_NOFOLLOW)
        self._owner = owner
        self._walk = walk

    def __enter__(self) -> WorkspaceFiles:
        return self

    def __exit__(self, *_exc: object) -> None:
        os.close(self._root)

    # Reading -------------------------------------------------------------------

    def listing(self, path: str = "") -> dict[str, Any]:
        """What lies in a folder: `entries` (name, kind, size_bytes, modified_at), and if there is `more`.

        Folders first, then by name; at most ENTRIES_MOST. A name that is no UTF-8 is shown with
        replacement characters and `reachable` false. Raises FilesRefused.
        """
        parts = parts_of(path)
        with self._folder(parts) as folder, _words(path):
            entries: list[dict[str, Any]] = []
            more, room = False, LISTING_BYTES
            with os.scandir(folder) as found:
                for item in found:
                    if len(entries) >= ENTRIES_MOST or room < 0:
                        more = True
                        break
                    if not item.name.startswith(UPLOAD_PREFIX) and (entry := _entry(folder, item.name)):
                        entries.append(entry)
                        room -= len(json.dumps(entry))
        entries.sort(key=lambda entry: (entry["kind"] != "folder", entry["name"]))
        return {"path": "/".join(parts), "entries": entries, "more": more}

    def read(self, path: str, offset: int = 0, length: int = PIECE_BYTES, version: str = "") -> Piece:
        """Up to `length` bytes of a regular file from `offset` on.

        With `version`, of an earlier piece, a file that changed since is refused. Raises FilesRefused.
        """
        with self._regular(path, os.O_RDONLY) as (descriptor, about), _words(path):
            now = _version(about)
            if version and version != now:
                raise FilesRefused(f"{path} changed while it was read.", "changed")
            data = os.pread(descriptor, min(max(0, length), PIECE_BYTES), max(0, offset))
            return Piece(data, max(0, offset), about.st_size, about.st_mtime, now)

    # Writing -------------------------------------------------------------------

    def write_piece(self, path: str, upload: str, offset: int, data: bytes, last: bool) -> int:
        """Take one piece of an upload; the last puts the whole in place at `path`, over a file of that name.

        `upload` is 16 hex digits, of one upload. A piece that is not the next one is refused. Returns
        the bytes there are now. Raises FilesRefused; one that is full leaves nothing behind.
        """
        if not _UPLOAD.fullmatch(upload):
            raise FilesRefused("An upload is named by 16 hex digits.", "upload_invalid")
        parts = parts_of(path)
        if not parts or parts[-1].startswith(UPLOAD_PREFIX):
            raise FilesRefused("An upload needs the name of a file.", "path_invalid")
        with self._folder(parts[:-1]) as folder:
            _refuse_folder(folder, parts[-1], path)
            name = UPLOAD_PREFIX + upload
            try:
                size = self._piece_append(name, offset, data)
                if last:
                    with _words(path):
                        os.rename(name, parts[-1], src_dir_fd=self._root, dst_dir_fd=folder)
            except FilesRefused as refused:
                if refused.code == "full":
                    self._forget(name)
                raise
        return size

    def delete(self, path: str) -> int:
        """Delete a file, link or whole folder. Returns how many names went. Raises FilesRefused."""
        parts = parts_of(path)
        if not parts:
            raise FilesRefused("The workspace itself goes with its session.", "path_invalid")
        with self._folder(parts[:-1]) as folder, _words(path):
            about = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISDIR(about.st_mode):
                os.unlink(parts[-1], dir_fd=folder)
                return 1
            return _Removal(path, self._walk).folder(folder, parts[-1], len(parts))

    def folder_make(self, path: str) -> None:
        """Make one folder in a folder that is there. Raises FilesRefused."""
        parts = parts_of(path)
        if not parts:
            raise FilesRefused("A folder needs a name.", "path_invalid")
        with self._folder(parts[:-1]) as folder, _words(path):
            os.mkdir(parts[-1], mode=0o755, dir_fd=folder)
            made = open_beneath(folder, [parts[-1]], os.O_RDONLY | os.O_DIRECTORY, walk=self._walk)
            try:
                os.fchown(made, self._owner, self._owner)
            finally:
                os.close(made)

    # Within --------------------------------------------------------------------

    @contextlib.contextmanager
    def _folder(self, parts: list[str]) -> Iterator[int]:
        with _words("/".join(parts)):
            descriptor = open_beneath(self._root, parts, os.O_RDONLY | os.O_DIRECTORY, walk=self._walk)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _regular(self, path: str, flags: int) -> Iterator[tuple[int, os.stat_result]]:
        with _words(path):
            seen = open_beneath(self._root, parts_of(path), _LOOK, walk=self._walk)
        try:
            about = os.fstat(seen)
            _refuse_odd(about, path)
            with _words(path):
                # Our own descriptor, so this is the very file that was looked at.
                descriptor = os.open(f"/proc/self/fd/{seen}", flags | os.O_CLOEXEC | os.O_NONBLOCK)
        finally:
            os.close(seen)
        try:
            yield descriptor, about
        finally:
            os.close(descriptor)

    def _piece_append(self, name: str, offset: int, data: bytes) -> int:
        if offset == 0:
            self._sweep()
            self._forget(name)
            with _words("the upload"):
                flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
                folder = open_beneath(self._root, [], os.O_RDONLY | os.O_DIRECTORY, walk=self._walk)
                try:
                    descriptor = os.open(name, flags, 0o644, dir_fd=folder)
                finally:
                    os.close(folder)
            try:
                with _words("the upload"):
                    os.fchown(descriptor, self._owner, self._owner)
                    return _write_all(descriptor, data)
            finally:
                os.close(descriptor)
        with self._regular(name, os.O_WRONLY) as (descriptor, about), _words("the upload"):
            if about.st_size != offset:
                raise FilesRefused(f"The next piece begins at {about.st_size}, not at {offset}.", "offset")
            os.lseek(descriptor, offset, os.SEEK_SET)
            return offset + _write_all(descriptor, data)

    def _forget(self, name: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=self._root)

    def _sweep(self) -> None:
        """Uploads that were given up."""
        with contextlib.suppress(OSError), self._folder([]) as folder, os.scandir(folder) as found:
            for item, _ in zip(found, range(ENTRIES_MOST), strict=False):
                if not item.name.startswith(UPLOAD_PREFIX):
                    continue
                about = os.stat(item.name, dir_fd=folder, follow_symlinks=False)
                if time.time() - about.st_mtime > UPLOAD_STALE_SECONDS:
                    os.unlink(item.name, dir_fd=folder)


class _Removal:
    """Takes a folder down name by name, each relative to its open parent, within bounds."""

    def __init__(self, path: str, walk: bool) -> None:
        self._path, self._walk = path, walk
        self._left = DELETED_MOST
        self._until = time.monotonic() + DELETE_SECONDS

    def folder(self, parent: int, name: str, depth: int) -> int:
        if depth > DEPTH_MOST:
            raise self._too_much()
        gone = 0
        descriptor = open_beneath(parent, [name], os.O_RDONLY | os.O_DIRECTORY, walk=self._walk)
        try:
            with os.scandir(descriptor) as found:
                names = [item.name for item, _ in zip(found, range(self._left + 1), strict=False)]
            for inner in names:
                self._left -= 1
                if self._left < 0 or time.monotonic() > self._until:
                    raise self._too_much()
                about = os.stat(inner, dir_fd=descriptor, follow_symlinks=False)
                if stat.S_ISDIR(about.st_mode):
                    gone += self.folder(descriptor, inner, depth + 1)
                else:
                    os.unlink(inner, dir_fd=descriptor)
                    gone += 1
        finally:
            os.close(descriptor)
        os.rmdir(name, dir_fd=parent)
        return gone + 1

    def _too_much(self) -> FilesRefused:
        return FilesRefused(
            f"{self._path} holds too much to delete at once; what is left can be deleted by calling again, "
            "or from within the session.",
            "too_much",
        )


def _entry(folder: int, name: str) -> dict[str, Any] | None:
    try:
        about = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None  # gone while we looked
    kinds: list[tuple[Callable[[int], bool], str]] = [
        (stat.S_ISDIR, "folder"), (stat.S_ISREG, "file"), (stat.S_ISLNK, "link"),
    ]  # fmt: skip
    kind = next((word for test, word in kinds if test(about.st_mode)), "other")
    shown = os.fsencode(name).decode("utf-8", "replace")
    return {
        "name": shown,
        "kind": kind,
        "size_bytes": about.st_size if kind == "file" else None,
        "modified_at": about.st_mtime,
        "reachable": shown == name
        and kind in ("folder", "file")
        and (kind == "folder" or about.st_nlink == 1),
    }


def _refuse_odd(about: os.stat_result, path: str) -> None:
    if stat.S_ISDIR(about.st_mode):
        raise FilesRefused(f"{path} is a folder.", "not_a_file")
    if not stat.S_ISREG(about.st_mode):
        raise FilesRefused(f"{path} is no regular file.", "not_a_file")
    if about.st_nlink != 1:
        raise FilesRefused(f"{path} has {about.st_nlink} names; only files with one are read.", "is_link")


def _refuse_folder(folder: int, name: str, path: str) -> None:
    with contextlib.suppress(OSError):
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise FilesRefused(f"{path} is a folder.", "not_a_file")


def _version(about: os.stat_result) -> str:
    return f"{about.st_ino:x}-{about.st_size:x}-{about.st_mtime_ns:x}"


def _write_all(descriptor: int, data: bytes) -> int:
    written = 0
    while written < len(data):
        written += os.write(descriptor, memoryview(data)[written:])
    os.fsync(descriptor)  # a full disk speaks up here at the latest
    return written


@contextlib.contextmanager
def _words(path: str) -> Iterator[None]:
    """Say an error of the kernel in words."""
    try:
        yield
    except OSError as error:
        raise _refusal(error, path or "The workspace") from error


def _refusal(error: OSError, path: str) -> FilesRefused:
    if error.errno == errno.ENOENT:
        return FilesRefused(f"There is no {path}.", "not_found")
    if error.errno in (errno.ELOOP, errno.EXDEV):
        return FilesRefused(f"{path} goes over a link; links are not followed.", "is_link")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FilesRefused(
            "The workspace is full: no bytes or no names are left. Delete something, or make a larger one.",
            "full",
        )
    if error.errno == errno.EEXIST:
        return FilesRefused(f"{path} is there already.", "exists")
    if error.errno == errno.ENOTDIR:
        return FilesRefused(f"{path}: not a folder, or goes over a link.", "not_a_folder")
    return FilesRefused(f"{path}: {error.strerror}.", "not_possible")
