"""Workspaces on real loop mounts: quotas of rows 6 to 8, restarts, leftovers, and where nobody may mount."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox_app.job import SANDBOX_UID, SessionJob
from sandbox_app.node import mounts
from sandbox_app.node.workspace_files import FilesRefused
from sandbox_app.node.workspaces import WorkspaceRefused, Workspaces
from tests.support.workspaces import workspaces_closed, workspaces_require

pytestmark = pytest.mark.docker
MIB = 2**20


def session(**fields: int) -> SessionJob:
    given = {"size_bytes": 32 * MIB, "inodes": 256, "idle_seconds": 60, **fields}
    return SessionJob(uid=str(uuid.uuid4()), **given)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    workspaces_require(tmp_path)
    yield tmp_path / "ws"
    workspaces_closed(tmp_path / "ws")


@pytest.fixture
def workspaces(folder: Path) -> Workspaces:
    return started(folder)


def started(folder: Path) -> Workspaces:
    made = Workspaces(folder, reserve_bytes=0)
    made.start()
    return made


def as_sandbox(script: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python as the sandbox's user with `folder` as its working directory."""

    def enter() -> None:
        os.fchdir(inside)  # the way there is root's alone, as it is for a container's bind
        os.setgroups([])
        os.setgid(SANDBOX_UID)
        os.setuid(SANDBOX_UID)

    inside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return subprocess.run(
            ["/usr/bin/env", "python3", "-I", "-c", script, *arguments],
            capture_output=True, text=True, timeout=120, preexec_fn=enter, check=False,
        )  # fmt: skip
    finally:
        os.close(inside)


def mount_options(target: Path) -> set[str]:
    line = next(
        line for line in mounts.MOUNTINFO.read_text().splitlines() if line.split(" ")[4] == str(target)
    )
    return set(line.split(" ")[5].split(","))


def test_a_workspace_is_its_users_own_ext4(workspaces: Workspaces) -> None:
    assert workspaces.status() == ("ext4", "")
    job = session()
    found = workspaces.open(job)
    assert (found.kind, found.note) == ("ext4", "")
    assert found.path is not None
    assert {"nosuid", "nodev"} <= mount_options(found.path)
    about = found.path.stat()
    assert (about.st_uid, about.st_gid) == (SANDBOX_UID, SANDBOX_UID)
    assert list(found.path.iterdir()) == []
    made = as_sandbox("open('a.txt', 'w').write('hello')", found.path)
    assert made.returncode == 0, made.stderr
    assert workspaces.open(job) == found
    with workspaces.files(job.uid) as files:
        assert files.read("a.txt").data == b"hello"
        files.write_piece("b.txt", "00000000000000aa", 0, b"mine", last=True)
        files.folder_make("d")
    both = as_sandbox("open('b.txt', 'a').write('+'); open('d/x', 'w')", found.path)
    assert both.returncode == 0, both.stderr


FILL = """
import errno, os, sys
try:
    with open('big', 'wb', buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))
except OSError as error:
    print(errno.errorcode[error.errno])
"""
NAMES = """
import errno
try:
    for number in range(100000):
        open(str(number), 'w').close()
except OSError as error:
    print(errno.errorcode[error.errno], number)
"""
SPARSE = """
import errno, os
file = open('sparse', 'wb', buffering=0)
os.truncate(file.fileno(), 1 << 40)
try:
    for at in range(0, 1 << 40, 1 << 20):
        file.seek(at)
        file.write(bytes(4096) + b'x')
except OSError as error:
    print(errno.errorcode[error.errno])
"""


def test_rows_6_to_8_a_full_workspace_is_full_alone(workspaces: Workspaces) -> None:
    """Bytes, names and holes end at the quota; the image never grows beyond what was set aside."""
    job = session()
    path = workspaces.open(job).path
    assert path is not None
    image = path.parent.parent / "images" / f"{job.uid}.img"
    assert as_sandbox(FILL, path).stdout.strip() == errno.errorcode[errno.ENOSPC]
    used = workspaces.usage(job.uid)
    assert used is not None
    assert used.used_bytes > 0.95 * used.size_bytes
    with workspaces.files(job.uid) as files, pytest.raises(FilesRefused) as full:
        files.write_piece("more", "00000000000000aa", 0, bytes(MIB), last=True)
    assert full.value.code == "full"
    with workspaces.files(job.uid) as files:
        assert [entry["name"] for entry in files.listing()["entries"]] == ["big"]
        files.delete("big")
    said, count = as_sandbox(NAMES, path).stdout.split()
    assert (said, int(count) < 256) == (errno.errorcode[errno.ENOSPC], True)
    assert as_sandbox("import os; [os.unlink(name) for name in os.listdir('.')]", path).returncode == 0
    assert as_sandbox(SPARSE, path).stdout.strip() == errno.errorcode[errno.ENOSPC]
    assert image.stat().st_size == 32 * MIB
    assert image.stat().st_blocks * 512 <= 33 * MIB


def test_what_is_promised_to_sessions_is_not_promised_twice(workspaces: Workspaces) -> None:
    """On a disk of its own, which is a workspace itself: what others write meanwhile does not count."""
    disk = workspaces.open(session(size_bytes=256 * MIB)).path
    assert disk is not None
    tight = started(disk / "ws")
    first = session(size_bytes=128 * MIB)
    try:
        tight.open(first)
        with pytest.raises(WorkspaceRefused, match="promised to other sessions") as refused:
            tight.open(session(size_bytes=128 * MIB))
        assert refused.value.code == "disk_short"
        assert tight.listed() == [first.uid]
    finally:
        tight.close(first.uid)


def test_closing_leaves_neither_mount_nor_image_nor_loop_device(workspaces: Workspaces, folder: Path) -> None:
    job = session()
    path = workspaces.open(job).path
    assert path is not None
    holder = subprocess.Popen(["sleep", "600"], cwd=path)
    try:
        workspaces.close(job.uid)  # also while something is open in it
        assert not mounts.is_mounted(path)
    finally:
        holder.kill()
        holder.wait()
    workspaces.close(job.uid)
    assert list((folder / "images").iterdir()) == list((folder / "mnt").iterdir()) == []
    assert workspaces.section() == []


def test_a_released_workspace_keeps_its_files_and_is_found_after_a_restart(
    workspaces: Workspaces, folder: Path
) -> None:
    job = session()
    with pytest.raises(WorkspaceRefused, match="keeps no files"), workspaces.files(job.uid):
        pass
    workspaces.make(job)
    with workspaces.files(job.uid) as files:
        files.write_piece("kept", "00000000000000aa", 0, b"kept", last=True)
    assert mounts.mounts_below(folder / "mnt") == []
    after = started(folder)
    assert after.listed() == [job.uid]
    with after.files(job.uid) as files:
        assert files.read("kept").data == b"kept"
    entry = after.section()[0]
    assert (entry["session"], entry["workspace"], entry["mounted"]) == (job.uid, "ext4", False)
    assert entry["used_bytes"] < entry["size_bytes"]


KILLED = """
import sys
from pathlib import Path
from sandbox_app.job import SessionJob
from sandbox_app.node.workspaces import Workspaces
made = Workspaces(Path(sys.argv[1]), 0)
made.start()
for uid in sys.argv[2:]:
    path = made.open(SessionJob(uid, 32 << 20, 256, 60)).path
    (path / 'kept').write_text(uid)
print('open', flush=True)
sys.stdin.read()
"""


def test_mounts_of_a_killed_agent_are_found(folder: Path) -> None:
    """What has its image goes on where it was; what has none is unmounted; what is half made goes."""
    kept, orphan = str(uuid.uuid4()), str(uuid.uuid4())
    agent = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder), kept, orphan],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert agent.stdout is not None
    assert agent.stdout.readline() == "open\n"
    agent.kill()
    agent.wait()
    (folder / "images" / f"{orphan}.img").unlink()
    (folder / "images" / f"{uuid.uuid4()}.img.new").write_text("half")
    (folder / "mnt" / "never-mounted").mkdir()
    after = started(folder)
    assert mounts.mounts_below(folder / "mnt") == [folder / "mnt" / kept]
    assert [path.name for path in (folder / "images").iterdir()] == [f"{kept}.img"]
    assert [path.name for path in (folder / "mnt").iterdir()] == [kept]
    with after.files(kept) as files:
        assert files.read("kept").data.decode() == kept
    after.release(kept)
    assert after.listed() == [kept]
    after.close(kept)


def test_a_damaged_image_is_told_not_served(workspaces: Workspaces, folder: Path) -> None:
    job = session()
    workspaces.make(job)
    (folder / "images" / f"{job.uid}.img").write_bytes(bytes(32 * MIB))
    with pytest.raises(WorkspaceRefused, match="cannot be mounted") as refused:
        workspaces.open(job)
    assert refused.value.code == "workspace_broken"
    workspaces.close(job.uid)
    assert workspaces.open(job).path is not None


@pytest.mark.parametrize("uid", ["../victim", "", "a" * 36, "x\0", "A0000000-0000-0000-0000-000000000000"])
def test_what_is_no_session_is_no_path(workspaces: Workspaces, uid: str) -> None:
    for call in (
        lambda: workspaces.open(SessionJob(uid, 32 * MIB, 64, 1)),
        lambda: workspaces.close(uid),
        lambda: workspaces.release(uid),
        lambda: workspaces.usage(uid),
    ):
        with pytest.raises(WorkspaceRefused) as refused:
            call()
        assert refused.value.code == "session_invalid"


WITHOUT_MOUNT = """
import sys, json
from pathlib import Path
from sandbox_app.job import SessionJob
from sandbox_app.node.workspaces import Workspaces
made = Workspaces(Path(sys.argv[1]), 0)
made.start()
found = made.open(SessionJob(sys.argv[2], 32 << 20, 256, 60))
print(json.dumps([found.kind, found.path and str(found.path), found.note, made.status()]))
"""


def test_where_nobody_may_mount_it_is_memory_and_says_why(tmp_path: Path) -> None:
    workspaces_require(tmp_path)
    done = subprocess.run(
        ["setpriv", "--bounding-set=-sys_admin", sys.executable, "-c", WITHOUT_MOUNT, str(tmp_path / "ws"),
         str(uuid.uuid4())],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"tmpfs", null, "Files are kept in memory: mount: ' in done.stdout


UNSEEN = """
import sys
from sandbox_app.node.mounts import why_unseen
print(why_unseen(sys.argv[1]))
"""


def test_an_engine_that_would_not_see_the_mounts_is_found(docker_host: str, tmp_path: Path) -> None:
    def asked(*prefix: str) -> str:
        command = [*prefix, sys.executable, "-c", UNSEEN, docker_host]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout.strip()

    assert asked() == ""
    assert asked("unshare", "--mount") == "the agent has mounts of its own, which Docker does not see"
    contained = asked("unshare", "--pid", "--fork", "--mount-proc")
    assert contained == "the agent runs in a container, whose mounts Docker does not see"
    assert mounts.why_unseen("tcp://10.0.0.1:2375") == "Docker is reached over the network"
    assert mounts.why_unseen(f"unix://{tmp_path}/none.sock") == ""


def test_an_agent_that_is_not_root_mounts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = started(tmp_path / "ws").open(session())
    assert (found.kind, found.path) == ("tmpfs", None)
    assert found.note == "Files are kept in memory: the agent does not run as root"
