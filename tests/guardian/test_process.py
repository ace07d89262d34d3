"""The guardian's process and its keeper, without Docker: files, restarts, who is never touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sparkweb.adapters.script_process import session_pids
from sparkweb.guardian.decide import Floors, Victim
from sparkweb.guardian.figures import Meminfo, Pressure
from sparkweb.guardian.keeper import GuardianSettings, MemoryGuardian
from sparkweb.guardian.killing import Target, start_ticks
from sparkweb.guardian.plan import HEADER_BYTES, Plan, PlanReader, PlanWriter, plan_of_json, victims_left
from sparkweb.guardian.records import PLAN_FILE, acts_read, status_read
from tests.support.guardian import FakeMeminfo
from tests.support.stack import wait_for

WAIT_SECONDS = 60.0
SETTINGS = GuardianSettings(floor_mb=100, lower_floor_mb=50)
STRANGER = "f" * 64


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[FakeMeminfo]:
    memory = FakeMeminfo(tmp_path / "meminfo")
    yield memory
    memory.close()


Keep = Callable[..., MemoryGuardian]


@pytest.fixture
def keep(tmp_path: Path, memory: FakeMeminfo) -> Iterator[Keep]:
    """Makes and starts a keeper over this test's folder; all are closed at the end."""
    made: list[MemoryGuardian] = []

    def make(
        victims: list[Victim] | None = None, settings: GuardianSettings = SETTINGS, **options: Any
    ) -> MemoryGuardian:
        options.setdefault("on_act", lambda act: None)
        keeper = MemoryGuardian(
            tmp_path / "guardian", settings, [lambda: victims or []], meminfo=memory.path, **options
        )
        keeper.start()
        made.append(keeper)
        return keeper

    yield make
    for keeper in made:
        keeper.close()


def armed(keeper: MemoryGuardian) -> dict[str, Any]:
    def seen() -> dict[str, Any] | None:
        section = keeper.section()
        return section if section["pid"] and section["status"] != "waiting" else None

    return wait_for(seen, "the guardian watches", WAIT_SECONDS)  # type: ignore[no-any-return]


def stranger() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "600"])


def test_report_says_how_it_stands(keep: Keep) -> None:
    section = armed(keep())
    assert (section["status"], section["message"]) == ("armed", None)
    assert (section["floor_bytes"], section["lower_floor_bytes"]) == (100 * 2**20, 50 * 2**20)
    # What this user may not have is said, and what it has is true.
    assert section["locked"] or section["why"]["locked"]
    assert section["oom_score_adj"] == int(Path(f"/proc/{section['pid']}/oom_score_adj").read_text())
    assert section["oom_score_adj"] == -900 or "CAP_SYS_RESOURCE" in section["why"]["oom_score_adj"]
    locked = Path(f"/proc/{section['pid']}/status").read_text().split("VmLck:")[1].split()[0]
    assert (int(locked) > 0) is section["locked"]


def test_killed_guardian_is_started_again(keep: Keep) -> None:
    keeper = keep()
    first = armed(keeper)["pid"]
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: keeper.section()["pid"] not in (None, first), "another guardian", WAIT_SECONDS)


def test_frozen_guardian_is_replaced(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = keep()
    first = armed(keeper)["pid"]
    os.kill(first, signal.SIGSTOP)
    monkeypatch.setattr("sparkweb.guardian.keeper.SILENT_SECONDS", 4.0)
    wait_for(lambda: keeper.section()["pid"] not in (None, first), "another guardian", WAIT_SECONDS)


def test_next_agent_takes_over_the_guardian_of_the_one_that_died(keep: Keep) -> None:
    first = keep()
    pid = armed(first)["pid"]
    first._closing.set()  # as SIGKILL leaves it: nobody told the guardian to end
    first._thread.join(WAIT_SECONDS)
    second = keep()
    wait_for(lambda: second.section()["status"] == "armed", "the second one's plan is in force", WAIT_SECONDS)
    assert second.section()["pid"] == pid


def test_turned_off_ends_what_an_earlier_agent_left(keep: Keep) -> None:
    keeper = keep()
    pid = armed(keeper)["pid"]
    keeper._closing.set()
    keeper._thread.join(WAIT_SECONDS)
    off = keep(settings=GuardianSettings(enabled=False))
    wait_for(lambda: start_ticks(pid) is None or _is_ended(pid), "the guardian ends", WAIT_SECONDS)
    assert off.section()["status"] == "off"


def _is_ended(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_nothing_to_stop_is_told_once_with_its_evidence(keep: Keep, memory: FakeMeminfo) -> None:
    told: list[dict[str, Any]] = []
    keeper = keep(on_act=told.append)
    armed(keeper)
    memory.set(20)
    act = wait_for(lambda: told and told[0], "an act", WAIT_SECONDS)
    assert act["action"] == "nothing_left"
    assert act["available_bytes"] == 20 * 2**20 and act["readings"][-1][1] == 20 * 2**20
    assert "20 MiB of memory were available" in act["sentence"]
    at = wait_for(lambda: (status_read(keeper.folder) or {}).get("at"), "a status", WAIT_SECONDS)
    wait_for(lambda: (status_read(keeper.folder) or {})["at"] > at + 1, "ten looks more", WAIT_SECONDS)
    assert len(told) == 1
    assert keeper.section()["last_act"]["act"] == act["act"]
    # Whoever comes next does not tell it again, and knows the last one.
    keeper.close()
    again: list[dict[str, Any]] = []
    successor = keep(on_act=again.append)
    successor.collect()
    assert again == [] and successor.last_act["act"] == act["act"]  # type: ignore[index]


def test_act_that_could_not_be_journaled_is_handed_over_again(keep: Keep, memory: FakeMeminfo) -> None:
    told: list[str] = []

    def refuse_first(act: dict[str, Any]) -> None:
        told.append(act["act"])
        if len(told) == 1:
            raise OSError("the journal is full")

    armed(keep(on_act=refuse_first))
    memory.set(20)
    wait_for(lambda: len(told) == 2, "told again", WAIT_SECONDS)
    assert told[0] == told[1]


def test_plan_that_names_a_stranger_harms_nobody(keep: Keep, memory: FakeMeminfo, tmp_path: Path) -> None:
    """Its pid and start are right, its group is not the container's: a plan is not proof."""
    bystander = stranger()
    folder = tmp_path / STRANGER
    folder.mkdir()
    (folder / "cgroup.procs").write_text(f"{bystander.pid}\n1\n{os.getpid()}\n")
    ours = Victim("m", "start", "m", STRANGER, pid=bystander.pid, start_ticks=start_ticks(bystander.pid),
                  cgroup=str(folder))  # fmt: skip
    told: list[dict[str, Any]] = []
    keeper = keep([ours], on_act=told.append)
    armed(keeper)
    memory.set(80)
    act = wait_for(lambda: told and told[0], "an act", WAIT_SECONDS)
    assert (act["action"], act["signalled"]) == ("kill", 0)
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_recycled_pid_is_not_its_predecessor(tmp_path: Path) -> None:
    bystander = stranger()
    own_group = next(
        word for word in Path("/proc/self/cgroup").read_text().splitlines()[0].split(":") if word
    )
    ticks = start_ticks(bystander.pid)
    assert ticks is not None
    before = Target(Victim("m", "start", "m", own_group, pid=bystander.pid, start_ticks=ticks - 1))
    assert before.kill().signalled == set()
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def family() -> subprocess.Popen[bytes]:
    """A session of three processes."""
    return subprocess.Popen(["sh", "-c", "sleep 600 & sleep 600 & wait"], start_new_session=True)


def session_of(pid: int) -> list[int]:
    return [one for one in session_pids(pid) if one != os.getpid()]


def test_session_is_ended_whole_and_another_one_is_not() -> None:
    ours, other = family(), family()
    for one in (ours, other):
        wait_for(lambda one=one: len(session_of(one.pid)) == 3, "it has forked", WAIT_SECONDS)  # type: ignore[misc]
    ticks, other_ticks = start_ticks(ours.pid), start_ticks(other.pid)
    assert ticks is not None
    stale = Victim("m", "start", "m", "", pid=ours.pid, start_ticks=ticks - 1, scope="session")
    assert Target(stale).kill().signalled == set() and ours.poll() is None
    target = Target(Victim("m", "start", "m", "", pid=ours.pid, start_ticks=ticks, scope="session"))
    assert target.reach == "signal"
    outcome = target.kill()
    assert (len(outcome.signalled), outcome.left) == (3, 0)
    assert len(session_of(other.pid)) == 3
    alone = Target(Victim("d", "download", "d", "", pid=other.pid, start_ticks=other_ticks, scope="process"))
    assert alone.kill().signalled == {other.pid}
    # Its leader is gone, and what it left is still known for the same session.
    left = Target(Victim("m", "start", "m", "", pid=other.pid, start_ticks=other_ticks, scope="session"))
    assert len(left.kill().signalled) == 2
    for one in (ours, other):
        one.wait()


def test_half_written_plan_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / PLAN_FILE
    writer, reader = PlanWriter(path), PlanReader(path)
    assert not reader.refresh() and reader.plan is None
    first = Plan("1", Floors(2, 1), (Victim("a", "ready", "n", "c"), Victim("b", "start", "n", "d")))
    writer.write(first)
    assert reader.refresh() and reader.plan == first
    assert not reader.refresh()
    assert victims_left(tmp_path) == first.victims
    text = path.read_bytes()
    changed = text[:HEADER_BYTES] + text[HEADER_BYTES:].replace(b"ready", b"reedy")
    path.write_bytes(text[:30] + b"00000000" + changed[38:])
    assert not reader.refresh() and reader.plan == first
    path.write_bytes(b"\0" * 100)
    assert not reader.refresh() and reader.plan == first
    writer.write(Plan("2", Floors(4, 2)))
    assert reader.refresh() and reader.plan and reader.plan.version == "2"
    writer.close()
    reader.close()


def test_last_line_of_acts_counts_once_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "acts.jsonl"
    assert acts_read(tmp_path, 0) == []
    file.write_bytes(b'{"act": 1}\nnot JSON\n[1]\n{"act": 2}\n{"act": 3')
    found = acts_read(tmp_path, 0)
    assert [act["act"] for _, act in found] == [1, 2]
    with file.open("ab") as more:
        more.write(b"}\n")
    assert [act for _, act in acts_read(tmp_path, found[-1][0])] == [{"act": 3}]


def test_figures_of_this_machine_and_of_odd_ones(tmp_path: Path) -> None:
    here = Meminfo()
    assert 0 < (here.available_bytes() or 0) <= (here.total_bytes() or 0)
    odd = tmp_path / "odd"
    for text in ("", "MemFree: 5 kB\n", "MemAvailable: five kB\n", "MemAvailable:"):
        odd.write_text(text)
        assert Meminfo(odd).available_bytes() is None
    odd.write_text("some avg10=1.00 avg60=0\nfull avg10=12.50 avg60=0.00 avg300=0.00 total=7\n")
    assert Pressure(odd).full_percent() == 12.5
    missing = Pressure(tmp_path / "none")
    assert (missing.is_known, missing.full_percent()) == (False, None)


def test_plan_of_another_version_is_no_plan(tmp_path: Path) -> None:
    writer = PlanWriter(tmp_path / PLAN_FILE)
    writer.write(Plan("1", Floors(2, 1)))
    text = (tmp_path / PLAN_FILE).read_bytes()[HEADER_BYTES:]
    assert json.loads(text)["floors"]["floor_bytes"] == 2
    assert plan_of_json({**json.loads(text), "novelty": 1}) is None
    assert plan_of_json([]) is None
    writer.close()
