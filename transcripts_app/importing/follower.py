"""Which files of a folder have changed since they were read, found by looking: also where nothing tells.

Each look asks the files changed last, a slice of all others, and every folder; once in a while,
and whenever a folder changed, everything is walked anew. Works on NFS. No Django here, no database.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from transcripts_app.importing.walk import Found, found_at, walk

WALK_SECONDS = 30.0
WALK_LEAST_SECONDS = 1.0
RECENT_MOST = 64
PASS_SECONDS = 3.2  # in which every file is asked once
SLICE_MOST = 4000
YOUNG_NS = 500_000_000
Sign = tuple[int, int, str]


@dataclass
class Look:
    """What a look found. `gone`, and everything that is there, are known only after a whole walk."""

    changed: list[Found] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    whole: bool = False
    problem: str = ""
    found: list[Found] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.changed or self.gone)


class Follower:
    """Looks at one folder. What it tells of, it tells again until `done` says that it was read."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._read: dict[str, Sign] = {}
        self._folders: dict[str, int] = {}
        self._paths: list[str] = []
        self._real: dict[str, str] = {}  # below the root, of those whose names are no UTF-8
        self._recent: list[str] = []
        self._at = 0
        self._walked = float("-inf")
        self._looked = time.monotonic()

    def look(self) -> Look:
        """What has changed by now."""
        now = time.monotonic()
        since, self._looked = now - self._looked, now
        walked = now - self._walked
        if walked >= WALK_SECONDS or (walked >= WALK_LEAST_SECONDS and self._folders_changed()):
            return self._walk(now)
        asked = dict.fromkeys([*self._recent, *self._slice(since)])
        found = [self._ask(path) for path in asked]
        return Look([one for one in found if one is not None])

    def done(self, found: Iterable[Found], gone: Iterable[str] = ()) -> None:
        """These were read."""
        for one in found:
            self._read[one.path] = sign(one)
            if one.path in self._recent:
                self._recent.remove(one.path)
            self._recent.insert(0, one.path)
        del self._recent[RECENT_MOST:]
        for path in gone:
            self._read.pop(path, None)

    def again(self, paths: Iterable[str]) -> None:
        """Tell of these once more: what was made of them is lost."""
        for path in paths:
            self._read.pop(path, None)
        self._walked = float("-inf")

    def _walk(self, now: float) -> Look:
        problem = _problem(self.root)
        self._walked = now
        if problem:
            # A disk that is not there deletes nothing.
            return Look(whole=True, problem=problem)
        self._folders = {}
        young = time.time_ns() - YOUNG_NS
        found = list(walk(self.root, self._folders))
        # A folder's time counts in ticks: what was made within the same one is found by walking again.
        self._folders = {path: at if at < young else -1 for path, at in self._folders.items()}
        self._paths = [one.path for one in found]
        names = {
            one.path: os.path.relpath(one.real, self.root) for one in found if "\\x" in one.path and one.real
        }
        self._real = {path: real for path, real in names.items() if path != real}
        if not self._recent:
            newest = sorted(found, key=lambda one: -one.mtime_ns)
            self._recent = [one.path for one in newest[:RECENT_MOST]]
        changed = [one for one in found if self._read.get(one.path) != sign(one)]
        return Look(changed, self._read.keys() - set(self._paths), whole=True, found=found)

    def _folders_changed(self) -> bool:
        changed = False
        for path, before in self._folders.items():
            try:
                at = os.stat(f"{self.root}/{path}").st_mtime_ns
            except OSError:
                at = 0
            if at != before:
                self._folders[path] = at
                changed = True
        return changed

    def _slice(self, since: float) -> list[str]:
        count = min(SLICE_MOST, 1 + int(len(self._paths) * min(1.0, since / PASS_SECONDS)))
        if self._at >= len(self._paths):
            self._at = 0
        part = self._paths[self._at : self._at + count]
        self._at += count
        return part

    def _ask(self, path: str) -> Found | None:
        """The file as it is, if it is not as it was read; what is gone is for the next walk to tell."""
        real = self._real.get(path, path) if self._real else path
        try:
            status = os.stat(f"{self.root}/{real}")  # thousands a second: join() would cost as much as stat()
        except OSError:
            return None
        before = self._read.get(path)
        if before is not None and before[:2] == (status.st_size, status.st_mtime_ns):
            return None
        found = found_at(self.root, real)
        return None if found is None or before == sign(found) else found


def sign(found: Found) -> Sign:
    """What tells that a file was changed."""
    return found.size, found.mtime_ns, found.role


def _problem(root: str) -> str:
    try:
        with os.scandir(root):
            return ""
    except OSError as error:
        return f"{root} cannot be listed: {error.strerror}"
