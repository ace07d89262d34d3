"""The last minutes of a machine that went down: written each second, found again, kept by control."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
import zstandard
from django.test import Client

from metrics_app import flight_recorder
from metrics_app.alerts.shipped import rules_ship
from metrics_app.flight_file import RECORDS, Flight, FlightFile, flight_pack, flight_read, flight_unpack
from metrics_app.flight_recorder import FlightRecorder, ended_hard
from metrics_app.flights import FlightInvalid, flight_store
from metrics_app.kernel_events import kernel_event
from metrics_app.kernel_watch import FACTS_PER_MINUTE, KernelWatch
from metrics_app.models import FlightRecord, NodeEvent
from metrics_app.models_alerts import Alert
from sparkweb.accounts.models import User
from sparkweb.adapters.kernel_log import KernelLog, event_of
from tests.factories import NodeFactory
from tests.support import frames
from tests.support.stack import wait_for

XID = "4,1200,98765432,-;NVRM: Xid (PCI:0000:01:00): 79, pid=4711, GPU has fallen off the bus."
NO_MEMORY = "3,1201,98765433,-;NVRM: nvCheckOkFailedNoLog: Out of memory [NV_ERR_NO_MEMORY] (0x51)"
OOM = "3,1202,98765434,-;Out of memory: Killed process 812 (python3) total-vm:1kB"


def report(n: int, boot: str = "boot-a") -> dict[str, Any]:
    return frames.report(now=1_800_000_000.0 + n) | {
        "sampled_at": 1_800_000_000.0 + n,
        "agent": {"host_boot": boot},
    }


def test_at_least_the_last_120_reports_are_there(tmp_path: Path) -> None:
    file = FlightFile(tmp_path)
    for n in range(3 * RECORDS + 7):
        file.append(report(n))
    flight = flight_read(tmp_path)
    assert [one["sampled_at"] - 1_800_000_000 for one in flight.reports] == list(
        range(2 * RECORDS + 7, 3 * RECORDS + 7)
    )
    assert (flight.closed, flight.host_boot) == (False, "boot-a")
    file.close()
    assert flight_read(tmp_path).closed


@pytest.mark.parametrize("cut", [1, 9, 60])
def test_a_record_that_a_power_cut_tore_is_left_away(tmp_path: Path, cut: int) -> None:
    file = FlightFile(tmp_path)
    for n in range(5):
        file.append(report(n))
    path = tmp_path / "flight-a"
    os.truncate(path, path.stat().st_size - cut)
    assert len(flight_read(tmp_path).reports) == 4


def test_nonsense_on_the_disk_is_no_flight(tmp_path: Path) -> None:
    (tmp_path / "flight-a").write_bytes(os.urandom(4096))
    (tmp_path / "flight-b").write_bytes(b"")
    assert flight_read(tmp_path) == Flight([], closed=False)
    assert flight_read(tmp_path / "absent").reports == []


@pytest.mark.parametrize(
    ("boot", "closed", "now", "hard"),
    [("a", False, "b", True), ("a", True, "b", False), ("a", False, "a", False), ("", False, "b", False)],
)
def test_what_counts_as_going_down_hard(boot: str, closed: bool, now: str, hard: bool) -> None:
    assert ended_hard(Flight([report(1, boot)], closed), now) is hard
    assert not ended_hard(Flight([], closed=False), now)


class Web:
    """Takes flights once it is up."""

    def __init__(self) -> None:
        self.up = False
        self.taken: list[bytes] = []

    def __call__(self, data: bytes) -> bool:
        if self.up:
            self.taken.append(data)
        return self.up


def test_after_a_reset_the_last_minutes_are_sent_until_web_has_them(tmp_path: Path) -> None:
    web = Web()
    first = FlightRecorder(tmp_path, "boot-a", web)
    first.start()
    for n in range(3):
        first.keep(report(n))
        wait_for(lambda n=n: len(flight_read(tmp_path).reports) == n + 1, "the report is on the disk")
    # No close: the power went. The agent of the next boot:
    second = FlightRecorder(tmp_path, "boot-b", web, retry_seconds=0.05)
    second.start()
    assert flight_read(tmp_path).reports == []
    web.up = True
    wait_for(lambda: web.taken, "it is sent")
    assert [one["sampled_at"] for one in flight_unpack(web.taken[0], 1 << 24)][-1] == 1_800_000_002.0
    wait_for(lambda: not (tmp_path / "to-send").exists(), "it is forgotten once web has it")
    second.close()
    third = FlightRecorder(tmp_path, "boot-c", web)
    third.start()
    third.close()
    assert len(web.taken) == 1, "the second ended in order"
    first.close()


def test_an_agent_that_was_only_restarted_has_no_flight(tmp_path: Path) -> None:
    web = Web()
    web.up = True
    file = FlightFile(tmp_path)
    file.append(report(1, "boot-a"))
    again = FlightRecorder(tmp_path, "boot-a", web)
    again.start()
    again.close()
    assert not web.taken


def test_a_disk_that_takes_nothing_holds_nobody_up(tmp_path: Path, monkeypatch: Any) -> None:
    class Full(FlightFile):
        def append(self, report: dict[str, Any]) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(flight_recorder, "FlightFile", Full)
    recorder = FlightRecorder(tmp_path, "boot-a", Web())
    recorder.start()
    for n in range(5):
        recorder.keep(report(n))
    recorder.close()


# Control --------------------------------------------------------------------------


def packed(*boots: str) -> bytes:
    return flight_pack(Flight([report(n, boot) for n, boot in enumerate(boots)], closed=False))


def test_a_flight_is_kept_once_and_told(db: None) -> None:
    NodeFactory(name="spark-1")
    rules_ship()
    data = packed("boot-a", "boot-a")
    assert flight_store("spark-1", data)
    assert not flight_store("spark-1", data), "sent twice"
    assert NodeEvent.objects.get().kind == "reset"
    assert Alert.objects.get().url == FlightRecord.objects.get().get_absolute_url()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        zstandard.compress(b"[]"),
        zstandard.compress(b'{"reports": 5}'),
        zstandard.compress(b'{"reports": []}'),
        zstandard.compress(b'{"reports": [{}]}'),
        zstandard.compress(b'{"reports": [{"sampled_at": 1e300, "agent": {"host_boot": "a"}}]}'),
        zstandard.compress(b"0" * (80 << 20)),
    ],
)
def test_what_is_no_flight_is_refused(db: None, data: bytes) -> None:
    with pytest.raises(FlightInvalid):
        flight_store("spark-1", data)
    assert not FlightRecord.objects.exists()


def test_the_page_shows_what_ran_at_the_end(db: None, viewer: User, client_of: Any) -> None:
    NodeFactory(name="spark-1")
    flight_store("spark-1", packed("boot-a", "boot-a"))
    client: Client = client_of(viewer)
    page = client.get(FlightRecord.objects.get().get_absolute_url()).content.decode()
    assert "VLLM::EngineCore" in page
    assert "memory_available_bytes" in page
    assert "went down without warning" in client.get("/nodes/spark-1/history/").content.decode()
    assert client.get("/nodes/spark-2/flights/1/").status_code == 404


# The kernel's log -----------------------------------------------------------------


def test_lines_of_note() -> None:
    xid = event_of(XID)
    assert xid
    assert (xid.kind, xid.code, xid.gpu, xid.seconds) == ("xid", 79, "0000:01:00", 98.765432)
    assert [event.kind for line in (NO_MEMORY, OOM) if (event := event_of(line))] == ["no_memory", "oom_kill"]


@pytest.mark.parametrize(
    "line",
    ["", ";", "x,y,z;NVRM: Xid (PCI:0): 1", "6,1,2,-;usb 1-1: new device", " SUBSYSTEM=pci", "NVRM: Xid"],
)
def test_other_lines(line: str) -> None:
    assert event_of(line) is None


class Notes:
    """A journal that keeps what it is told in a list."""

    def __init__(self) -> None:
        self.facts: list[tuple[str, dict[str, Any]]] = []

    def add(self, verb: str, data: dict[str, Any]) -> int:
        self.facts.append((verb, data))
        return len(self.facts)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "kmsg"
    os.mkfifo(path)
    return path


def test_the_watch_tells_each_once_and_a_flood_at_most_ten_a_minute(pipe: Path) -> None:
    journal, now = Notes(), [time.time()]
    watch = KernelWatch(journal, KernelLog(pipe), clock=lambda: now[0])
    writer = os.open(pipe, os.O_WRONLY)
    os.write(writer, f"{XID}\n6,1,2,-;something else\n{OOM}\n".encode())
    section = watch.section()
    assert section["status"] == "ok"
    assert section["counts"] == {"xid 79": 1, "oom_kill": 1}
    assert watch.section()["counts"] == {"xid 79": 1, "oom_kill": 1}
    for _ in range(30):
        os.write(writer, f"{NO_MEMORY}\n".encode())
    assert watch.section()["counts"]["no_memory"] == 30
    assert sum(data["kind"] == "no_memory" for _, data in journal.facts) == FACTS_PER_MINUTE
    now[0] += 61
    os.write(writer, f"{NO_MEMORY}\n".encode())
    watch.section()
    assert sum(data["kind"] == "no_memory" for _, data in journal.facts) == FACTS_PER_MINUTE + 1
    os.close(writer)
    watch.close()


def test_a_kernel_log_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    section = KernelWatch(Notes(), KernelLog(tmp_path / "absent")).section()
    assert (section["status"], section["events"]) == ("missing", [])
    assert "There is no kernel log" in section["message"]


def test_a_fact_of_the_kernel_is_a_mark_and_an_alert(db: None) -> None:
    NodeFactory(name="spark-1")
    rules_ship()
    kernel_event("spark-1", {"kind": "xid", "code": 79, "text": "NVRM: Xid\0 (PCI): 79"})
    kernel_event("spark-1", {"kind": "nonsense", "text": "x"})
    kernel_event("nobody", {"kind": "xid", "code": 79, "text": "x"})
    assert NodeEvent.objects.get().kind == "xid"
    assert Alert.objects.get().series == "gpu_xid|79"
