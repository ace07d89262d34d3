"""`manage.py archive` as a process: it follows, it is killed, it waits, it stops."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.archive_house import ArchiveHouse
from tests.support.claude_code import Transcript
from transcripts_app.importing.writer import Writer

RECORDS = "SELECT COUNT(*) FROM archive_record"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[ArchiveHouse]:
    one = ArchiveHouse(tmp_path)
    yield one
    one.close()


def test_it_follows_and_stops_at_once_and_goes_on(house: ArchiveHouse) -> None:
    talk = Transcript(house.projects)
    talk.prompt("one")
    talk.write()
    house.start()
    house.waits(RECORDS, 1)
    assert house.process
    assert os.getpriority(os.PRIO_PROCESS, house.process.pid) == min(19, os.nice(0) + 10)
    assert psutil.Process(house.process.pid).ionice().ioclass == psutil.IOPRIO_CLASS_IDLE
    talk.prompt("two")
    talk.write()
    house.waits(RECORDS, 2)
    other = Transcript(house.projects, cwd="/home/ada/other")
    other.prompt("three")
    other.write()
    house.waits(RECORDS, 3)
    assert house.end() == 0
    talk.prompt("four")
    talk.write()
    house.start()
    house.waits(RECORDS, 4)
    assert house.ask("SELECT COUNT(*) FROM archive_importrun") == [(1,)]


def test_killed_while_it_reads_it_ends_with_the_same_archive(house: ArchiveHouse) -> None:
    talk = Transcript(house.projects)
    for number in range(3000):
        talk.prompt(f"prompt {number} " + "word " * 100)
    talk.write()
    for _ in range(3):
        before = house.ask(RECORDS)[0][0]
        house.start()
        if before < 3000:
            house.waits(f"SELECT COUNT(*) > {before} FROM archive_record", 1)
        assert house.end(signal.SIGKILL) == -signal.SIGKILL
        talk.prompt("one more")
        talk.write()
    house.start()
    house.waits(RECORDS, 3003)
    lines = house.ask("SELECT line FROM archive_record ORDER BY line")
    assert [line for (line,) in lines] == list(range(1, 3004))
    house.waits("SELECT SUM(length) FROM archive_rawblock", talk.path.stat().st_size)
    house.waits("SELECT prompts FROM archive_session", 3003)


def test_it_waits_for_an_import_of_another_process(house: ArchiveHouse) -> None:
    with Writer(house.archive):
        house.start()
        talk = Transcript(house.projects)
        talk.prompt("one")
        talk.write()
        state = house.archive.with_name("archive.sqlite3.state")
        from tests.support.stack import wait_for

        wait_for(lambda: state.exists() and "Another process" in state.read_text(), "it waits")
        assert house.ask(RECORDS) == [(0,)]
    house.waits(RECORDS, 1)
    assert house.end() == 0
