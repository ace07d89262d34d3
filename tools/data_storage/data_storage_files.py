"""Files of the workspace: each step of a path is opened without following links. Standard library alone."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from typing import Any

READ_MOST = 2_000_000
LIST_MOST = 2000
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Refused(Exception):
    """A path or a file that is not taken, as a sentence."""


def read(workspace: str, path: str, encoding: str) -> dict[str, Any]:
    """Content of a file."""
    folder, name = _open_parent(workspace, path, make=False)
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        raise Refused(f"{path}: {_why(error)}.") from None
    finally:
        os.close(folder)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Refused(f"{path} is no regular file.")
        data = file.read(READ_MOST + 1)
    if len(data) > READ_MOST:
        raise Refused(f"{path} has more than {READ_MOST} bytes; read it with a program, in parts.")
    if encoding == "base64":
        return {"path": path, "content": base64.b64encode(data).decode(), "size_bytes": len(data)}
    try:
        return {"path": path, "content": data.decode(), "size_bytes": len(data)}
    except UnicodeDecodeError:
        raise Refused(f"{path} is no UTF-8 text; ask for it with encoding base64.") from None


def write(workspace: str, path: str, content: str, encoding: str, append: bool) -> dict[str, Any]:
    """Write a file, with the folders that it needs."""
    try:
        data = base64.b64decode(content, validate=True) if encoding == "base64" else content.encode()
    except (binascii.Error, ValueError):
        raise Refused("content is no base64.") from None
    folder, name = _open_parent(workspace, path, make=True)
    how = os.O_APPEND if append else os.O_TRUNC
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags | how, 0o644, dir_fd=folder)
    except OSError as error:
        raise Refused(f"{path}: {_why(error)}.") from None
    finally:
        os.close(folder)
    with os.fdopen(descriptor, "wb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Refused(f"{path} is no regular file.")
        file.write(data)
    return {"path": path, "written_bytes": len(data)}


def listing(workspace: str, path: str) -> dict[str, Any]:
    """Names, kinds and sizes below a folder; what begins with a dot is left out."""
    found: list[dict[str, Any]] = []
    top = os.path.join(workspace, *_parts(path, folder=True))
    if not os.path.isdir(top) or os.path.islink(top):
        raise Refused(f"{path}: there is no such folder.")
    for where, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            place = os.path.join(where, name)
            about = os.lstat(place)
            if name.startswith(".") or not stat.S_ISREG(about.st_mode):
                continue
            if len(found) >= LIST_MOST:
                return {"files": found, "count": len(found), "truncated": True}
            found.append({"path": os.path.relpath(place, workspace), "size_bytes": about.st_size})
    return {"files": found, "count": len(found), "truncated": False}


def _parts(path: str, folder: bool = False) -> list[str]:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts or (not parts and not folder):
        raise Refused(
            f"{path!r}: expected a path below the workspace, without / at its beginning and without .."
        )
    return parts


def _open_parent(workspace: str, path: str, make: bool) -> tuple[int, str]:
    """A descriptor of the folder that a file lies in, and the file's own name."""
    *folders, name = _parts(path)
    at = os.open(workspace, DIRECTORY)
    for step in folders:
        try:
            if make:
                try:
                    os.mkdir(step, dir_fd=at)
                except FileExistsError:
                    pass
            inner = os.open(step, DIRECTORY, dir_fd=at)
        except OSError as error:
            os.close(at)
            raise Refused(f"{path}: {step}: {_why(error)}.") from None
        os.close(at)
        at = inner
    return at, name


def _why(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file or folder"
    if error.errno in (40, 20):  # ELOOP, ENOTDIR: a link where a folder or file should be
        return "links are not followed"
    return error.strerror or "it cannot be opened"
