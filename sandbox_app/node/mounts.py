"""Disk images of ext4 and their loop mounts: the only things this package asks the host's root for.

Every command is an argument vector with a time limit; what is unmounted is first found in
/proc/self/mountinfo below the folder that is ours, so nothing else is ever touched.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
from pathlib import Path

COMMAND_SECONDS = 30.0
MOUNTINFO = Path("/proc/self/mountinfo")
LOOP_CONTROL = Path("/dev/loop-control")
# What a service's PATH often lacks.
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
_PROBE_BYTES = 32 * 2**20  # sparse
_OCTAL = re.compile(r"\\([0-7]{3})")


class MountFailed(Exception):
    """The host did not make, mount or unmount an image; the sentence says what it answered."""


def why_not(folder: Path) -> str:
    """Why images cannot be mounted here; empty if they can. Tries it with a small image of its own."""
    if os.geteuid() != 0:
        return "the agent does not run as root"
    if missing := [
        name for name in ("mkfs.ext4", "mount", "umount") if shutil.which(name, path=_PATH) is None
    ]:
        return f"{', '.join(missing)} is not installed"
    if not LOOP_CONTROL.exists():
        return f"there is no {LOOP_CONTROL}"
    with tempfile.TemporaryDirectory(prefix="probe-", dir=folder) as made:
        image, target = Path(made) / "probe.img", Path(made) / "mount"
        target.mkdir()
        try:
            image_make(image, _PROBE_BYTES, 64, owner=0)
            image_mount(image, target)
            unmount(target)
        except MountFailed as error:
            return str(error)
    return ""


def why_unseen(docker_host: str) -> str:
    """Why containers would not see what is mounted here; empty if they would, or nobody can tell.

    The engine must share this process's mount namespace. Whoever listens on its socket is told by the
    kernel; a process of another container's host has no number here. Source: unix(7), SO_PEERCRED.
    """
    scheme, _, path = docker_host.partition("://")
    if scheme != "unix":
        return "Docker is reached over the network"
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(COMMAND_SECONDS)
            client.connect(path)
            told = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        engine = struct.unpack("3i", told)[0]
        if engine == 0:
            return "the agent runs in a container, whose mounts Docker does not see"
        same = Path(f"/proc/{engine}/ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink()
    except OSError:
        return ""
    return "" if same else "the agent has mounts of its own, which Docker does not see"


def image_make(image: Path, size_bytes: int, inodes: int, owner: int) -> None:
    """Make a sparse file of `size_bytes` with an ext4 of `inodes` inodes whose root `owner` owns.

    Nothing is kept back for root, so what the file system says is free is free. Raises MountFailed.
    """
    try:
        descriptor = os.open(image, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise MountFailed(f"{image.name} cannot be made: {error.strerror}") from error
    try:
        os.ftruncate(descriptor, size_bytes)
    except OSError as error:
        raise MountFailed(f"{image.name} cannot be {size_bytes} bytes long: {error.strerror}") from error
    finally:
        os.close(descriptor)
    extended = f"lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner={owner}:{owner}"
    blocks = ["-b", "4096", "-I", "256", "-N", str(inodes), "-m", "0", "-J", "size=4"]
    _run(["mkfs.ext4", "-q", "-F", *blocks, "-e", "remount-ro", "-E", extended, str(image)])


def image_mount(image: Path, target: Path) -> None:
    """Mount an image through a loop device that goes with the mount. Raises MountFailed.

    Programs may run from it (a session's scripts do); neither setuid nor devices count.
    `discard` gives what is deleted back to the host's disk.
    """
    _run(
        [
            "mount",
            "-t",
            "ext4",
            "-o",
            "loop,nosuid,nodev,noatime,discard,noinit_itable",
            str(image),
            str(target),
        ]
    )


def image_check(image: Path) -> None:
    """Mend an image that was not unmounted in order, as a boot does. Raises MountFailed."""
    # 1: errors corrected. Source: e2fsck(8)
    _run(["e2fsck", "-p", str(image)], good=(0, 1))


def unmount(target: Path) -> None:
    """Unmount what is mounted at `target`; something still open there keeps it alive but out of sight.

    Raises MountFailed. Nothing mounted there is no error.
    """
    if not is_mounted(target):
        return
    try:
        _run(["umount", str(target)])
    except MountFailed:
        _run(["umount", "--lazy", str(target)])


def is_mounted(target: Path) -> bool:
    """Whether exactly this folder is a mount point."""
    return target in mounts_below(target.parent)


def mounts_below(folder: Path) -> list[Path]:
    """Mount points right in `folder`, as this process sees them."""
    real = folder.resolve()
    found = []
    with contextlib.suppress(OSError):
        for line in MOUNTINFO.read_text(errors="surrogateescape").splitlines():
            # The fifth field, blanks in octal. Source: proc(5)
            where = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), line.split(" ")[4]))
            if where.parent == real:
                found.append(folder / where.name)
    return found


def _run(arguments: list[str], good: tuple[int, ...] = (0,)) -> None:
    program = shutil.which(arguments[0], path=_PATH)
    if program is None:
        raise MountFailed(f"{arguments[0]} is not installed")
    try:
        done = subprocess.run(
            [program, *arguments[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_SECONDS,
            env={"PATH": _PATH, "LC_ALL": "C"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MountFailed(f"{arguments[0]} did not end within {COMMAND_SECONDS:.0f} s") from None
    except OSError as error:
        raise MountFailed(f"{arguments[0]} cannot be run: {error.strerror}") from error
    if done.returncode not in good:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise MountFailed(f"{arguments[0]}: {said[0][:200] if said else f'status {done.returncode}'}")
