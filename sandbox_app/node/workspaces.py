"""The folders in which sessions keep files: one ext4 image each, mounted while somebody needs it.

    <folder>/images/<uid>.img     sparse, as large as the session may become, inodes counted too
    <folder>/mnt/<uid>/           where it is mounted; without the mount only root may enter

An image lives until control ends its session, over restarts of the agent and of the machine.
The name of an image is its whole record: one with its final name is complete. Where this
agent may not mount, a session gets a tmpfs of its container instead, and the note says why.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from sandbox_app.job import SANDBOX_UID, SessionJob
from sandbox_app.node import mounts
from sandbox_app.node.mounts import MountFailed
from sandbox_app.node.workspace_files import WorkspaceFiles

log = structlog.get_logger(__name__)

SIZE_LEAST_BYTES = 32 * 2**20
GIB = 2**30
# Where mounting failed it may work again once somebody has mended it.
PROBE_AGAIN_SECONDS = 300.0
_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NEW = ".new"


class WorkspaceRefused(Exception):
    """There is no workspace for this session now; the sentence is shown, the code is for programs."""

    def __init__(self, sentence: str, code: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True)
class Workspace:
    """Where a session's files are. `path` is None for tmpfs: only its container has them then."""

    uid: str
    path: Path | None
    kind: str
    note: str = ""


@dataclass(frozen=True)
class Usage:
    """How full a workspace is."""

    used_bytes: int
    size_bytes: int
    used_inodes: int
    inodes: int


class Workspaces:
    """All workspaces of one agent. Safe for threads; calls about one session wait for each other.

    `docker_host` names the engine that must see the mounts; "" where nobody asks it to.
    """

    def __init__(
        self, folder: Path, reserve_bytes: int, owner: int = SANDBOX_UID, docker_host: str = ""
    ) -> None:
        self._images, self._mnt = folder / "images", folder / "mnt"
        self._reserve_bytes = reserve_bytes
        self._owner = owner
        self._docker_host = docker_host
        self._why: str | None = None
        self._probed_at = 0.0
        self._making = threading.Lock()  # guards the sum of what was promised
        self._locks: dict[str, Any] = {}
        self._locks_lock = threading.Lock()
        self._seen: dict[str, Usage] = {}

    def start(self) -> None:
        """Make the folders, and remove what an agent that was killed left half done.

        Mounts whose image is there stay: their containers may still run.
        """
        for folder in (self._images, self._mnt):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.chmod(0o700)
        for half in self._images.glob(f"*{_NEW}"):
            half.unlink(missing_ok=True)
        for target in mounts.mounts_below(self._mnt):
            if not self._image(target.name).exists():
                log.info("a workspace without its image is unmounted", session=target.name)
                with contextlib.suppress(MountFailed):
                    mounts.unmount(target)
        for target in self._mnt.iterdir():
            if not mounts.is_mounted(target):
                with contextlib.suppress(OSError):
                    target.rmdir()

    def status(self) -> tuple[str, str]:
        """Which kind sessions get here, ext4 or tmpfs, and why it is not ext4."""
        with self._making:
            if self._why is None or (self._why and time.monotonic() - self._probed_at > PROBE_AGAIN_SECONDS):
                self._why, self._probed_at = self._why_not(), time.monotonic()
            return ("tmpfs", self._why) if self._why else ("ext4", "")

    def open(self, session: SessionJob) -> Workspace:
        """The workspace of a session, made and mounted where it is not yet.

        Raises WorkspaceRefused: disk_short, workspace_broken.
        """
        uid = _checked(session.uid)
        kind, why = self.status()
        if kind == "tmpfs" and not self._image(uid).exists():
            return Workspace(uid, None, "tmpfs", f"Files are kept in memory: {why}")
        with self._alone(uid):
            if not self._image(uid).exists():
                self._make(uid, max(session.size_bytes, SIZE_LEAST_BYTES), session.inodes)
            return Workspace(uid, self._mounted(uid), "ext4")

    @contextlib.contextmanager
    def files(self, uid: str) -> Iterator[WorkspaceFiles]:
        """The files of a session that has an image here, mounted for this while if nobody had it.

        Raises WorkspaceRefused: no_workspace, workspace_broken.
        """
        with self._alone(uid):
            if not self._image(uid).exists():
                raise WorkspaceRefused("This session keeps no files on its node yet.", "no_workspace")
            before = mounts.is_mounted(self._target(uid))
            try:
                with WorkspaceFiles(self._mounted(uid), self._owner) as files:
                    yield files
            finally:
                if not before:
                    self.release(uid)

    def make(self, session: SessionJob) -> None:
        """The image of a session, unmounted, for files that come before the first run."""
        with self._alone(session.uid):
            before = mounts.is_mounted(self._target(session.uid))
            self.open(session)
            if not before:
                self.release(session.uid)

    def release(self, uid: str) -> None:
        """Unmount a workspace that no container uses; its files stay."""
        with self._alone(uid):
            if not mounts.is_mounted(self._target(uid)):
                return
            self._seen[uid] = usage_of(self._target(uid))
            try:
                mounts.unmount(self._target(uid))
                self._target(uid).rmdir()
            except (MountFailed, OSError) as error:
                log.warning("a workspace stays mounted", session=uid, reason=str(error))

    def close(self, uid: str) -> None:
        """Unmount and delete a workspace; one that is not there is closed. Raises WorkspaceRefused."""
        with self._alone(uid):
            try:
                mounts.unmount(self._target(uid))
            except MountFailed as error:
                raise WorkspaceRefused(
                    f"The workspace cannot be unmounted: {error}", "workspace_busy"
                ) from error
            self._image(uid).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._target(uid).rmdir()
            self._seen.pop(uid, None)

    def usage(self, uid: str) -> Usage | None:
        """How full a workspace is: now if it is mounted, else when it was last; None if nobody knows."""
        target = self._target(_checked(uid))
        if mounts.is_mounted(target):
            with contextlib.suppress(OSError):
                self._seen[uid] = usage_of(target)
        return self._seen.get(uid)

    def section(self) -> list[dict[str, Any]]:
        """One entry for each image here: what the report's `sessions` says of workspaces."""
        mounted = {target.name for target in mounts.mounts_below(self._mnt)}
        entries = []
        for uid in self.listed():
            if uid in mounted:
                with contextlib.suppress(OSError):
                    self._seen[uid] = usage_of(self._target(uid))
            seen = self._seen.get(uid)
            entries.append({
                "session": uid, "workspace": "ext4", "mounted": uid in mounted,
                "used_bytes": seen.used_bytes if seen else None,
                "size_bytes": seen.size_bytes if seen else None,
            })  # fmt: skip
        return entries

    def mounted(self) -> list[str]:
        """The sessions whose image is mounted now."""
        return [target.name for target in mounts.mounts_below(self._mnt) if _UID.fullmatch(target.name)]

    def listed(self) -> list[str]:
        """The sessions that have an image here, also after a restart of the agent."""
        try:
            names = [
                path.name.removesuffix(".img") for path in self._images.iterdir() if path.suffix == ".img"
            ]
        except OSError:
            return []
        return sorted(name for name in names if _UID.fullmatch(name))

    # Within --------------------------------------------------------------------

    def _why_not(self) -> str:
        unseen = mounts.why_unseen(self._docker_host) if self._docker_host else ""
        return mounts.why_not(self._images) or unseen

    def _make(self, uid: str, size_bytes: int, inodes: int) -> None:
        new = self._images / f"{uid}.img{_NEW}"
        with self._making:
            self._room_require(size_bytes)
            new.unlink(missing_ok=True)
            try:
                mounts.image_make(new, size_bytes, inodes, self._owner)
            except MountFailed as error:
                new.unlink(missing_ok=True)
                raise WorkspaceRefused(
                    f"The workspace cannot be made: {error}", "workspace_broken"
                ) from error
            new.rename(self._image(uid))

    def _room_require(self, size_bytes: int) -> None:
        """Every image may be filled whole without eating into the reserve, or no new one is made."""
        found = os.statvfs(self._images)
        promised = sum(max(0, stat.st_size - stat.st_blocks * 512) for stat in self._stats())
        left = found.f_bavail * found.f_frsize - promised - self._reserve_bytes
        if size_bytes > left:
            raise WorkspaceRefused(
                f"A workspace of {size_bytes / GIB:.2f} GiB does not fit: {max(0, left) / GIB:.2f} GiB are "
                f"left in {self._images}, after {promised / GIB:.2f} GiB promised to other sessions and "
                f"{self._reserve_bytes / GIB:.0f} GiB that stay free. End sessions or delete something.",
                "disk_short",
            )

    def _stats(self) -> Iterator[os.stat_result]:
        for path in self._images.glob("*.img"):
            with contextlib.suppress(OSError):
                yield path.stat()

    def _mounted(self, uid: str) -> Path:
        """The mount point of an image, mounted now if it was not. Raises WorkspaceRefused."""
        target, image = self._target(uid), self._image(uid)
        if mounts.is_mounted(target):
            return target
        target.mkdir(mode=0o700, exist_ok=True)
        try:
            try:
                mounts.image_mount(image, target)
            except MountFailed:
                mounts.image_check(image)
                mounts.image_mount(image, target)
        except MountFailed as error:
            raise WorkspaceRefused(f"The workspace cannot be mounted: {error}", "workspace_broken") from error
        with contextlib.suppress(OSError):
            (target / "lost+found").rmdir()
        return target

    def _alone(self, uid: str) -> Any:
        """The lock of one session. Raises WorkspaceRefused for what is no session's uid."""
        with self._locks_lock:
            return self._locks.setdefault(_checked(uid), threading.RLock())

    def _image(self, uid: str) -> Path:
        return self._images / f"{uid}.img"

    def _target(self, uid: str) -> Path:
        return self._mnt / uid


def usage_of(folder: Path) -> Usage:
    """How full the file system of a folder is. Raises OSError."""
    found = os.statvfs(folder)
    return Usage(
        used_bytes=(found.f_blocks - found.f_bfree) * found.f_frsize,
        size_bytes=found.f_blocks * found.f_frsize,
        used_inodes=found.f_files - found.f_ffree,
        inodes=found.f_files,
    )


def _checked(uid: str) -> str:
    """A session's uid, which becomes a name on disk. Raises WorkspaceRefused for anything but a UUID."""
    if not _UID.fullmatch(uid):
        raise WorkspaceRefused(f"{uid[:60]!r} is no session", "session_invalid")
    return uid
