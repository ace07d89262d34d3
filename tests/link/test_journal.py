"""The journal: on disk before it answers, in order, once; and a bad disk or file."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sparkweb.node_link import journal as journal_module
from sparkweb.node_link.journal import FACT_LIMIT_BYTES, FactInvalid, Journal, JournalFull, JournalUnavailable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent" / "journal.sqlite3"


def sequences(journal: Journal) -> list[int]:
    return [fact.sequence for fact in journal.unacknowledged()]


def test_facts_stay_in_order_until_acknowledged(path):
    journal = Journal(path)
    assert [journal.add("v", {"n": n}) for n in range(4)] == [1, 2, 3, 4]
    assert '"n":2' in journal.unacknowledged(after=2, limit=1)[0].payload
    journal.acknowledge(2)
    assert sequences(journal) == [3, 4] and journal.count() == 2
    assert [journal.is_acknowledged(n) for n in (1, 2, 3, 4, 5)] == [True, True, False, False, False]


def test_id_sequences_and_fences_survive_a_restart(path):
    journal = Journal(path)
    journal.add("v", {})
    journal.acknowledge(journal.add("v", {}))
    assert journal.fence("launch", 3)
    identity = journal.id
    journal.close()
    journal = Journal(path)
    assert journal.id == identity and journal.last_sequence == 2
    assert journal.add("v", {}) == 3, "an acknowledged sequence is never given again"
    assert not journal.fence("launch", 2)


def test_the_file_is_for_the_owner_alone(path):
    Journal(path)
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700


def test_fence_drops_only_older_generations(path):
    journal = Journal(path)
    assert [journal.fence("a", n) for n in (1, 1, 3, 2, 3, 4)] == [True, True, True, False, True, True]
    assert journal.fence("b", 1)


def test_fences_are_kept_for_the_launches_used_last(path, monkeypatch):
    monkeypatch.setattr(journal_module, "FENCES_KEPT", 3)
    journal = Journal(path)
    for name in "abcd":
        journal.fence(name, 5)
    assert journal.fence("a", 1), "forgotten, as the oldest of four"
    assert not journal.fence("d", 1)


@pytest.mark.parametrize(
    "data", [{"x": object()}, {"x": "y" * FACT_LIMIT_BYTES}, {"x": "\ud800"}, {1: 2}, {"x": "\x1b" * 40_000}]
)
def test_what_is_no_json_or_too_large_is_refused(path, data):
    journal = Journal(path)
    with pytest.raises(FactInvalid, match="container_exited"):
        journal.add("container_exited", data)
    assert journal.add("v", {}) == 1


def test_threads_share_it(path):
    journal = Journal(path)
    threads = [threading.Thread(target=lambda: [journal.add("v", {}) for _ in range(25)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sequences(journal) == list(range(1, 101))


def test_a_new_fact_ends_the_wait(path):
    journal = Journal(path)
    done = threading.Event()

    def wait() -> None:
        journal.wait(after=0, timeout_seconds=30)
        done.set()

    threading.Thread(target=wait).start()
    assert not done.wait(0.05)
    journal.add("v", {})
    assert done.wait(5)


CHILD = """
import sys
from pathlib import Path
from sparkweb.node_link.journal import Journal
journal = Journal(Path(sys.argv[1]))
while True:
    sequence = journal.add("v", {"pad": "x" * 500})
    print(sequence, flush=True)          # said only once it is on disk
    if sequence % 3 == 0:
        journal.acknowledge(sequence - 2)
        print("acknowledged", sequence - 2, flush=True)
    journal.fence(f"launch-{sequence % 5}", sequence)
"""


@pytest.mark.parametrize("seed", range(6))
def test_kill_minus_nine_at_any_point_loses_nothing_that_was_said(path, seed):
    """A child adds and acknowledges until SIGKILL; what it said is there or acknowledged."""
    chance, added, acknowledged = random.Random(seed), 0, 0
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout
        lines = [child.stdout.readline() for _ in range(chance.randrange(5, 80))]
        os.kill(child.pid, signal.SIGKILL)
        lines += child.stdout.readlines()
        child.wait()
        for line in lines:
            if line.startswith("acknowledged"):
                acknowledged = int(line.split()[1])
            elif line.endswith("\n"):
                assert int(line) > added, "a sequence was given twice"
                added = int(line)
        journal = Journal(path)
        kept = [fact.sequence for fact in journal.unacknowledged(limit=10_000)]
        assert kept == list(range(kept[0], kept[-1] + 1))
        assert acknowledged < kept[0] <= acknowledged + 4, "one acknowledgement may have been cut off unsaid"
        assert added <= kept[-1] <= added + 1
        added = kept[-1]
        journal.close()


@pytest.mark.parametrize(
    "damage", [b"not a database at all", b"SQLite format 3\0" + b"\xff" * 5000, b"\0" * 4096]
)
def test_a_damaged_file_is_moved_aside_and_a_new_journal_begins(path, damage, caplog):
    journal = Journal(path)
    journal.add("v", {})
    identity = journal.id
    journal.close()
    path.write_bytes(damage)
    path.with_name(path.name + "-wal").unlink(missing_ok=True)
    journal = Journal(path)
    assert journal.id != identity and journal.add("v", {}) == 1
    (aside,) = path.parent.glob("*.corrupt-*")
    assert aside.read_bytes() == damage and "is damaged" in caplog.text
    journal.close()
    Journal(path)
    assert len(list(path.parent.glob("*.corrupt-*"))) == 1, "no loop"


def test_damage_while_it_runs_is_said_once_and_then_it_works(path, caplog):
    journal = Journal(path)
    for n in range(200):
        journal.add("v", {"pad": "x" * 1000, "n": n})
    identity = journal.id
    other = sqlite3.connect(path)
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 20)
    with pytest.raises(JournalUnavailable, match="damaged and has been replaced"):
        for _ in range(50):
            journal.unacknowledged(limit=1000)
            journal.add("v", {"pad": "x" * 10_000})
    assert journal.id != identity and journal.add("v", {}) == 1
    assert "is damaged" in caplog.text


def test_a_full_journal_refuses_new_facts_and_keeps_the_old(path):
    journal = Journal(path, size_limit_bytes=200_000)
    added = 0
    with pytest.raises(JournalFull, match="free disk space"):
        while True:
            added = journal.add("v", {"pad": "x" * 5000})
    assert sequences(journal) == list(range(1, added + 1))
    assert path.stat().st_size <= 200_000
    journal.acknowledge(added)
    assert journal.add("v", {"pad": "x" * 5000}) == added + 1


def test_a_full_disk_is_the_same(tmp_path):
    """A real one: a file system of 1 MB."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        journal = Journal(mount / "agent" / "journal.sqlite3")
        added = 0
        with pytest.raises(JournalUnavailable):
            while True:
                added = journal.add("v", {"pad": "x" * 5000})
        assert journal.count() == added > 10
        journal.close()
        reopened = Journal(mount / "agent" / "journal.sqlite3")
        assert reopened.count() == added
        reopened.close()
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_a_renewed_id_keeps_the_sequences(path):
    journal = Journal(path)
    journal.add("v", {})
    before = journal.id
    journal.renew_id()
    assert journal.id != before and journal.add("v", {}) == 2 and sequences(journal) == [1, 2]


def test_it_loads_without_django():
    code = "import sys, sparkweb.node_link.sender; assert 'django' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
