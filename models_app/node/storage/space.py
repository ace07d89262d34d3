"""Room on a disk: what is free, and whether something fits while a reserve stays free."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

GIB = 2**30
FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskShort(Exception):
    """Something would not fit, said before it is fetched."""

    code = "disk_short"


@dataclass(frozen=True)
class Room:
    """Bytes of the file system of a folder; `free_bytes` is what this user may use."""

    total_bytes: int
    free_bytes: int


def room_of(folder: Path) -> Room | None:
    """Return the room where `folder` is, or would be made; None if nobody can tell."""
    for place in (folder, *folder.parents):
        try:
            found = os.statvfs(place)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        return Room(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)
    return None


def room_require(folder: Path, needed_bytes: int, reserve_bytes: int, what: str) -> None:
    """Raise DiskShort if `needed_bytes` more do not fit while the reserve stays free. Unknown room fits."""
    room = room_of(folder)
    if needed_bytes > 0 and room is not None and needed_bytes > room.free_bytes - reserve_bytes:
        raise DiskShort(short_sentence(what, folder, needed_bytes, room.free_bytes, reserve_bytes))


def short_sentence(
    what: str, folder: Path | str, needed_bytes: int, free_bytes: int, reserve_bytes: int
) -> str:
    """Say what does not fit where, with all three figures in GiB."""
    return (
        f"{what} needs {needed_bytes / GIB:.1f} GiB more; {folder} has {free_bytes / GIB:.1f} GiB free, "
        f"of which {reserve_bytes / GIB:.0f} GiB stay free. Delete something first."
    )
