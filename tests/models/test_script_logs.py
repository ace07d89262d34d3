"""A script's log: each line with its time, bounded on disk, read as a container's."""

from __future__ import annotations

from pathlib import Path

from models_app.node.script_logs import ScriptLogs, ScriptLogStream
from sparkweb.adapters.docker_logs import Unrepeated
from sparkweb.adapters.script_supervisor import StampedLog


def read(folder: Path, tail: int = 1000, since: str | None = None) -> list[str]:
    return [line.text for batch in ScriptLogStream(folder, tail, since, lambda: True) for line in batch]


def written(folder: Path, data: bytes, limit: int = 1_000_000) -> StampedLog:
    log = StampedLog(folder / "log", limit)
    log.feed(data)
    return log


def test_lines_come_whole_whatever_the_pieces(tmp_path: Path) -> None:
    log = written(tmp_path, b"one\ntw")
    log.feed(b"o\n\nthree")
    assert read(tmp_path) == ["one", "two", ""]
    log.finish()
    assert read(tmp_path) == ["one", "two", "", "three"]


def test_odd_bytes_are_made_safe_and_long_lines_cut(tmp_path: Path) -> None:
    written(tmp_path, b"a\0b\xff\n" + b"50 %\r100 %\n" + b"x" * 3_000_000 + b"\nend\n")
    first, bar, long, end = read(tmp_path)
    assert first == "a\ufffdb\ufffd" and bar == "100 %" and end == "end"
    assert len(long) < 17_000 and long.endswith("[line cut]")


def test_disk_use_is_bounded_and_the_newest_is_kept(tmp_path: Path) -> None:
    log = StampedLog(tmp_path / "log", 100_000)
    for number in range(5000):
        log.feed(b"line %d of a script that talks a lot\n" % number)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 150_000
    lines = read(tmp_path, tail=10_000)
    assert lines[-1].startswith("line 4999 ") and len(lines) > 500
    assert [int(line.split()[1]) for line in lines] == list(range(5000 - len(lines), 5000))
    assert read(tmp_path, tail=3) == lines[-3:]


def test_follower_goes_over_to_the_new_file_without_loss(tmp_path: Path) -> None:
    log = StampedLog(tmp_path / "log", 80_000)
    log.feed(b"first\n")
    stream = ScriptLogStream(tmp_path, 1000, None, lambda: True)
    batches = iter(stream)
    assert [line.text for line in next(batches)] == ["first"]
    for number in range(1200):
        log.feed(b"%d\n" % number)
    assert (tmp_path / "log.1").exists()
    assert [line.text for batch in batches for line in batch] == [str(number) for number in range(1200)]


def test_reader_goes_on_where_it_was(tmp_path: Path) -> None:
    log = written(tmp_path, b"one\ntwo\n")
    unrepeated = Unrepeated()
    for batch in ScriptLogStream(tmp_path, 1000, None, lambda: True):
        unrepeated.of(batch)
    log.feed(b"three\n")
    again = ScriptLogStream(tmp_path, 1000, unrepeated.until, lambda: True)
    assert [line.text for batch in again for line in unrepeated.of(batch)] == ["three"]


def test_tail_is_bounded_in_bytes(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    written(tmp_path / "m", b"".join(b"%04d\n" % number for number in range(100)))
    logs = ScriptLogs(tmp_path, lambda member: True)
    assert logs.log_tail("m", 400, 20) == ["0096", "0097", "0098", "0099"]
    assert logs.log_tail("none", 400, 20) == []


def test_full_disk_stops_nothing(tmp_path: Path) -> None:
    log = StampedLog(tmp_path / "gone" / "log", 1000)
    log.feed(b"lost\n")
    (tmp_path / "gone").mkdir()
    log.feed(b"kept\n")
    assert read(tmp_path / "gone") == ["kept"]
