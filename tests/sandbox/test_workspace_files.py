"""Files of a session from outside: rows 30 to 32 of the hostile suite, and honest use, opened both ways."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox_app.node.beneath import has_openat2, open_beneath
from sandbox_app.node.workspace_files import (
    ENTRIES_MOST,
    UPLOAD_PREFIX,
    FilesRefused,
    WorkspaceFiles,
    parts_of,
)

UPLOAD = "00000000000000aa"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace beside a secret of the host and a neighbour whose name begins alike."""
    (tmp_path / "secret").write_text("host")
    (tmp_path / "work-2").mkdir()
    (tmp_path / "work-2" / "a.txt").write_text("neighbour")
    made = tmp_path / "work"
    (made / "data").mkdir(parents=True)
    (made / "a.txt").write_text("hello")
    (made / "data" / "b.txt").write_text("inner")
    return made


@pytest.fixture(params=["openat2", "walk"])
def files(root: Path, request: pytest.FixtureRequest) -> Iterator[WorkspaceFiles]:
    if request.param == "openat2":
        assert has_openat2()
    with WorkspaceFiles(root, os.getuid(), walk=request.param == "walk") as found:
        yield found


def refused(code: str) -> contextlib.AbstractContextManager[pytest.ExceptionInfo[FilesRefused]]:
    @contextlib.contextmanager
    def check() -> Iterator[pytest.ExceptionInfo[FilesRefused]]:
        with pytest.raises(FilesRefused) as caught:
            yield caught
        assert caught.value.code == code, str(caught.value)

    return check()


# Honest use ------------------------------------------------------------------------


def test_a_listing_has_folders_first_with_sizes_and_kinds(files: WorkspaceFiles, root: Path) -> None:
    (root / "link").symlink_to("a.txt")
    os.mkfifo(root / "pipe")
    (root / f"{UPLOAD_PREFIX}{UPLOAD}").write_text("half")
    found = files.listing()
    assert [(entry["name"], entry["kind"], entry["reachable"]) for entry in found["entries"]] == [
        ("data", "folder", True),
        ("a.txt", "file", True),
        ("link", "link", False),
        ("pipe", "other", False),
    ]
    assert [entry["size_bytes"] for entry in found["entries"]] == [None, 5, None, None]
    assert not found["more"]
    assert [entry["name"] for entry in files.listing("data/")["entries"]] == ["b.txt"]


def test_a_listing_is_bounded(files: WorkspaceFiles, root: Path) -> None:
    for number in range(ENTRIES_MOST + 5):
        (root / "data" / f"{number}").touch()
    found = files.listing("data")
    assert (len(found["entries"]), found["more"]) == (ENTRIES_MOST, True)


def test_names_that_are_no_text_are_shown_and_cannot_be_reached(files: WorkspaceFiles, root: Path) -> None:
    (root / os.fsdecode(b"bad-\xff")).write_text("x")
    entry = next(entry for entry in files.listing()["entries"] if entry["name"].startswith("bad"))
    assert (entry["name"], entry["reachable"]) == ("bad-�", False)


def test_a_file_is_read_in_pieces_of_one_version(files: WorkspaceFiles, root: Path) -> None:
    first = files.read("data/b.txt", 0, 2)
    assert (first.data, first.size_bytes) == (b"in", 5)
    assert files.read("data/b.txt", 2, 10, first.version).data == b"ner"
    assert files.read("data/b.txt", 99).data == b""
    (root / "data" / "b.txt").write_text("other")
    os.utime(root / "data" / "b.txt", ns=(1, 1))
    with refused("changed"):
        files.read("data/b.txt", 2, 10, first.version)


def test_an_upload_appears_whole_and_replaces_a_file(files: WorkspaceFiles, root: Path) -> None:
    assert files.write_piece("data/new.bin", UPLOAD, 0, b"abc", last=False) == 3
    assert not (root / "data" / "new.bin").exists()
    assert files.write_piece("data/new.bin", UPLOAD, 3, b"de", last=True) == 5
    assert (root / "data" / "new.bin").read_bytes() == b"abcde"
    files.write_piece("a.txt", UPLOAD, 0, b"", last=True)
    assert (root / "a.txt").read_bytes() == b""
    assert not list(root.glob(f"{UPLOAD_PREFIX}*"))


def test_a_piece_out_of_turn_is_refused(files: WorkspaceFiles) -> None:
    files.write_piece("x", UPLOAD, 0, b"abc", last=False)
    with refused("offset"):
        files.write_piece("x", UPLOAD, 7, b"d", last=True)
    with refused("not_found"):
        files.write_piece("x", "00000000000000bb", 3, b"d", last=True)
    with refused("upload_invalid"):
        files.write_piece("x", "../../up", 0, b"d", last=True)


def test_uploads_that_were_given_up_go(files: WorkspaceFiles, root: Path) -> None:
    stale = root / f"{UPLOAD_PREFIX}00000000000000bb"
    stale.write_text("half")
    os.utime(stale, (1, 1))
    files.write_piece("x", UPLOAD, 0, b"abc", last=True)
    assert not stale.exists()


def test_folders_are_made_and_deleted_whole(files: WorkspaceFiles, root: Path) -> None:
    files.folder_make("data/deep")
    with refused("exists"):
        files.folder_make("data/deep")
    with refused("not_found"):
        files.folder_make("nowhere/deep")
    (root / "data" / "deep" / "out").symlink_to(root.parent / "work-2")
    assert files.delete("data") == 4
    assert not (root / "data").exists()
    assert (root.parent / "work-2" / "a.txt").exists()
    with refused("path_invalid"):
        files.delete("")
    with refused("not_found"):
        files.delete("data")


def test_a_folder_deeper_than_anybody_means_is_left_to_the_session(files: WorkspaceFiles, root: Path) -> None:
    at = root / "deep"
    for _ in range(60):
        at = at / "d"
    at.mkdir(parents=True)
    with refused("too_much"):
        files.delete("deep")


def test_a_folder_is_no_file(files: WorkspaceFiles) -> None:
    with refused("not_a_file"):
        files.read("data")
    with refused("not_a_file"):
        files.write_piece("data", UPLOAD, 0, b"x", last=True)
    with refused("not_a_folder"):
        files.listing("a.txt")


# Hostile ---------------------------------------------------------------------------

WAYS_OUT = ["..", "../secret", "../work-2/a.txt", "data/../../secret", "/etc/passwd", "//etc", "data//b.txt",
            "./a.txt", "data/./b.txt", "a\0.txt", "\ud800", "x" * 256, "d/" * 40 + "f",
            "a/" * 600]  # fmt: skip


@pytest.mark.parametrize("path", WAYS_OUT)
def test_row_30_paths_that_lead_out_are_refused_as_such(files: WorkspaceFiles, path: str) -> None:
    for call in (
        files.listing,
        files.read,
        files.delete,
        files.folder_make,
        lambda where: files.write_piece(where, UPLOAD, 0, b"x", last=True),
    ):
        with refused("path_invalid"):
            call(path)


def test_even_parts_that_slip_through_do_not_leave(root: Path) -> None:
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        for parts in (["..", "secret"], ["data/../../secret"], [""], ["/etc/passwd"]):
            for walk in (False, True):
                with pytest.raises(OSError, match="leads out"):
                    open_beneath(folder, parts, os.O_PATH, walk=walk)
    finally:
        os.close(folder)


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "a.txt", "/proc/self/root/etc/passwd"])
def test_row_31_links_are_not_followed(files: WorkspaceFiles, root: Path, target: str) -> None:
    (root / "link").symlink_to(target)
    with refused("is_link"):
        files.read("link")
    files.write_piece("link", UPLOAD, 0, b"mine", last=True)  # in the link's place, not through it
    assert (root / "link").read_text() == "mine"
    assert not (root / "link").is_symlink()
    assert (root.parent / "secret").read_text() == "host"
    assert (root / "a.txt").read_text() == "hello"


def test_row_31_a_linked_parent_is_not_entered(files: WorkspaceFiles, root: Path) -> None:
    (root / "up").symlink_to("..")
    (root / "etc").symlink_to("/etc")
    for call in (
        lambda: files.read("up/secret"),
        lambda: files.read("etc/passwd"),
        lambda: files.listing("etc"),
        lambda: files.delete("up/secret"),
        lambda: files.folder_make("up/new"),
        lambda: files.write_piece("up/new", UPLOAD, 0, b"x", last=True),
    ):
        with pytest.raises(FilesRefused) as caught:
            call()
        assert caught.value.code in ("is_link", "not_a_folder")
    assert sorted(path.name for path in root.parent.iterdir()) == ["secret", "work", "work-2"]
    files.delete("etc")  # the link itself goes
    assert Path("/etc/passwd").exists()


def test_row_31_a_parent_swapped_for_a_link_all_the_time_gives_nothing_away(
    files: WorkspaceFiles, root: Path
) -> None:
    """A program of the session renames a folder and a link to the host in turns while its owner reads."""
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "b.txt").write_text("host")
    (root / "bad").symlink_to(outside)
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            (root / "data").rename(root / "good")
            (root / "bad").rename(root / "data")
            (root / "data").rename(root / "bad")
            (root / "good").rename(root / "data")

    thread = threading.Thread(target=swap)
    thread.start()
    read: set[bytes] = set()
    try:
        for number in range(3000):
            with contextlib.suppress(FilesRefused):
                read.add(files.read("data/b.txt").data)
            with contextlib.suppress(FilesRefused):
                files.write_piece(f"data/{number % 7}.new", UPLOAD, 0, b"x", last=True)
            if number % 50 == 0:
                with contextlib.suppress(FilesRefused):
                    files.delete("data/0.new")
    finally:
        ended.set()
        thread.join()
    assert read <= {b"inner"}
    assert [path.name for path in outside.iterdir()] == ["b.txt"]
    assert (outside / "b.txt").read_text() == "host"


def test_row_32_a_hard_link_to_the_host_is_neither_read_nor_written(
    files: WorkspaceFiles, root: Path
) -> None:
    os.link(root.parent / "secret", root / "hard")
    with refused("is_link"):
        files.read("hard")
    os.link(root.parent / "secret", root / f"{UPLOAD_PREFIX}{UPLOAD}")
    with refused("is_link"):
        files.write_piece("x", UPLOAD, 4, b"more", last=True)
    files.write_piece("hard", UPLOAD, 0, b"mine", last=True)
    assert (root.parent / "secret").read_text() == "host"


def test_row_32_fifo_socket_and_device_are_not_opened(files: WorkspaceFiles, root: Path) -> None:
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(root / "s"))
    names = ["pipe", "s"]
    with contextlib.suppress(PermissionError):  # root alone may make one
        os.mknod(root / "tty", 0o666 | 0o020000, os.makedev(5, 0))
        names.append("tty")
    for name in names:
        with refused("not_a_file"):
            files.read(name)  # a FIFO without a writer would hang here
        files.write_piece(name, UPLOAD, 0, b"mine", last=True)
        assert files.read(name).data == b"mine"


def test_parts_are_read_the_same_everywhere() -> None:
    assert parts_of("") == parts_of(".") == []
    assert parts_of("a/b/") == parts_of("a/b") == ["a", "b"]
