"""Opening names below a folder, so that neither `..`, nor a link, nor a swap leads out of it.

Linux's openat2 resolves a whole path in one step under rules that the kernel keeps
(RESOLVE_BENEATH and no links of any kind, no other mount). A kernel without it (before 5.6) is
walked one name at a time with O_NOFOLLOW, each opened relative to the one before, which no
rename can turn into a way out either. Source: openat2(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import struct
import time
from functools import cache

_OPENAT2 = 437  # the same on x86_64 and aarch64. Source: asm-generic/unistd.h
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x01, 0x02, 0x04, 0x08
RULES = _NO_XDEV | _NO_MAGICLINKS | _NO_SYMLINKS | _BENEATH
# The kernel says EAGAIN when something was renamed during the walk.
_TRIES = 20

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def open_beneath(folder: int, parts: list[str], flags: int, *, walk: bool = False) -> int:
    """Open what `parts` name below the folder descriptor; no part may be empty, `.` or `..`.

    Returns a descriptor; with O_PATH it opens nothing, so that a device or FIFO stays asleep. Raises
    OSError: ELOOP for a link anywhere in it, EXDEV for a way out. `walk` asks for the old way.
    """
    if any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts):
        raise OSError(errno.EXDEV, "leads out of the folder")
    if not walk and has_openat2():
        return _openat2(folder, "/".join(parts) or ".", flags)
    return _walked(folder, parts, flags)


@cache
def has_openat2() -> bool:
    """Whether the kernel has openat2, and lets this process use it."""
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        os.close(_openat2(root, ".", os.O_PATH))
    except OSError:
        return False
    finally:
        os.close(root)
    return True


def _openat2(folder: int, path: str, flags: int) -> int:
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, 0, RULES)
    for _ in range(_TRIES):
        found = _libc.syscall(
            ctypes.c_long(_OPENAT2), ctypes.c_long(folder), os.fsencode(path), how, ctypes.c_size_t(len(how))
        )
        if found >= 0:
            return int(found)
        number = ctypes.get_errno()
        if number != errno.EAGAIN:
            raise OSError(number, os.strerror(number))
        time.sleep(0.001)
    raise OSError(errno.EBUSY, "is being renamed all the time")


def _walked(folder: int, parts: list[str], flags: int) -> int:
    device = os.fstat(folder).st_dev
    at = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        for number, part in enumerate(parts, 1):
            last = number == len(parts)
            wanted = flags if last else os.O_PATH | os.O_DIRECTORY
            found = os.open(part, wanted | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = found
            about = os.fstat(at)
            if stat.S_ISLNK(about.st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            if about.st_dev != device:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        if not parts:
            found = os.open(".", flags | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = found
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(at)
        raise
    return at
