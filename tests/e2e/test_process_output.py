"""What happens to the lines of child processes: files that rotate, a terminal that may be paused."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sparkweb.child_processes import Child, ProcessSpec
from sparkweb.process_output import LINE_LIMIT_BYTES, LineSplitter, RotatingFile, Terminal


def test_file_rotates_by_size_and_keeps_a_few(tmp_path: Path) -> None:
    log = RotatingFile(tmp_path / "web.log", limit=100, kept=2)
    for number in range(40):
        log.write(f"line {number:04}\n".encode())
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["web.log", "web.log.1", "web.log.2"]
    assert all(path.stat().st_size <= 100 for path in tmp_path.iterdir())
    lines = "".join((tmp_path / name).read_text() for name in ("web.log.2", "web.log.1", "web.log")).split(
        "\n"
    )
    assert lines == [f"line {number:04}" for number in range(10, 40)] + [""]


def test_file_goes_on_where_the_last_run_ended(tmp_path: Path) -> None:
    for word in (b"first\n", b"second\n"):
        log = RotatingFile(tmp_path / "web.log")
        log.write(word)
        log.close()
    assert (tmp_path / "web.log").read_bytes() == b"first\nsecond\n"


def test_file_too_large_from_before_is_put_aside_first(tmp_path: Path) -> None:
    (tmp_path / "web.log").write_bytes(b"x" * 200)
    log = RotatingFile(tmp_path / "web.log", limit=100)
    log.write(b"new\n")
    log.close()
    assert (tmp_path / "web.log").read_bytes() == b"new\n"
    assert (tmp_path / "web.log.1").read_bytes() == b"x" * 200


def test_file_that_cannot_be_written_loses_lines_and_recovers(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    log = RotatingFile(folder / "web.log")
    log.write(b"lost\n")
    folder.mkdir()
    log.write(b"kept\n")
    log.close()
    assert (folder / "web.log").read_bytes() == b"kept\n"


def test_full_disk_stops_nobody() -> None:
    log = RotatingFile(Path("/dev/full"))
    log.write(b"lost\n")
    log.write(b"lost\n")
    log.close()


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b"a\nb\n"], [b"a\n", b"b\n"]),
        ([b"a", b"b\nc"], [b"ab\n", b"c\n"]),
        ([b"\n\n"], [b"\n", b"\n"]),
        ([b"\xff\xfe\n"], [b"\xff\xfe\n"]),
        ([], []),
    ],
)
def test_lines_out_of_chunks(chunks: list[bytes], expected: list[bytes]) -> None:
    splitter = LineSplitter()
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    assert [*lines, *([rest] if (rest := splitter.flush()) else [])] == expected


def test_line_without_end_is_cut() -> None:
    splitter = LineSplitter()
    lines = [line for _ in range(5) for line in splitter.feed(b"x" * LINE_LIMIT_BYTES)]
    assert max(map(len, lines)) <= 2 * LINE_LIMIT_BYTES + 1
    assert len(splitter.rest) <= LINE_LIMIT_BYTES


def test_paused_terminal_drops_lines_and_says_how_many() -> None:
    read, write = os.pipe()
    os.set_blocking(read, False)
    terminal = Terminal(write)
    for number in range(5000):
        terminal.line("web", f"line {number:06}".encode())
    assert terminal.dropped > 0
    dropped = terminal.dropped
    while True:
        try:
            os.read(read, 65536)
        except BlockingIOError:
            break
    terminal.line("web", b"again")
    assert os.read(read, 65536).decode().splitlines() == [
        f"({dropped} lines were not shown here; the log files have them)",
        "web      │ again",
    ]
    os.close(read)
    os.close(write)


def test_terminal_that_is_gone_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    Terminal(write).line("web", b"hello")
    os.close(write)
    Terminal(write).line("web", b"hello")


def test_backoff_doubles_to_thirty_seconds_and_forgets_after_a_healthy_minute() -> None:
    child = Child(ProcessSpec("web", ["web"], {}), None)
    now = child.started_at = time.monotonic()
    assert [child.backoff_next(now + 59) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert child.backoff_next(now + 60) == 1
    assert child.backoff_next(now + 1) == 2
