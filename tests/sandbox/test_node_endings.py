"""What became of a run, from all that is known of it; the bytes on the wire; what is kept of output. Pure."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import orjson
import pytest

from sandbox_app.job import Ending, Policy
from sandbox_app.node.artifacts import artifact_name, media_type_of
from sandbox_app.node.doing import Doing
from sandbox_app.node.endings import Evidence, judge
from sandbox_app.node.frames import FrameReader, FramesBroken, job_frame
from sandbox_app.node.ledger import Ledger
from sandbox_app.node.output import HEAD_BYTES, TAIL_BYTES, Output, Streamer
from sandbox_app.node.runs import Desk, LiveRun, ending_fit
from sparkweb.node_link.journal import Journal
from tests.sandbox.web_runs import job_of
from tests.support.node import MemoryStreams

INSIDE = Path(__file__).parents[2] / "sandbox_app" / "inside"
POLICY = Policy(image="image:1", cpu_seconds=10)
FINE = {"exit_code": 0, "signal": None, "ended": None, "oom_kills": 0, "pids_refused": 0, "full": []}
FAILED = {**FINE, "exit_code": 1}
SHOT = {**FINE, "exit_code": None, "signal": 9}


def evidence(told: dict[str, Any] | None, cause: str = "", **fields: Any) -> Evidence:
    return Evidence(cause=cause, reason="", told=told, **fields)


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (evidence(FINE), "ok"),
        (evidence(FAILED), "exit"),
        (evidence(SHOT), "signal"),
        (evidence({**SHOT, "ended": "wall"}), "wall"),
        (evidence({**SHOT, "ended": "cpu"}), "cpu"),
        (evidence({**SHOT, "cpu_ms": 10_500}), "cpu"),
        (evidence({**SHOT, "signal": 24}), "cpu"),
        (evidence({**SHOT, "signal": 25}), "disk"),
        (evidence({**FAILED, "full": ["/tmp"]}), "disk"),
        (evidence(FAILED, stderr=b"OSError: [Errno 28] No space left on device"), "disk"),
        (evidence({**FAILED, "pids_refused": 3}), "pids"),
        (evidence({**SHOT, "oom_kills": 1}), "memory"),
        (evidence({**FINE, "oom_kills": 1}), "ok"),  # a child was killed, and the tool coped
        (evidence({**FINE, "full": ["/tmp"], "pids_refused": 1}), "ok"),
        (evidence(SHOT, "cancelled"), "cancelled"),
        (evidence(None, "cancelled"), "cancelled"),
        (evidence(SHOT, "output"), "output"),
        (evidence(None, "forged"), "signal"),
        (evidence(None, oom_killed=True), "memory"),
        (evidence(None, guardian="It was the newest."), "memory"),
        (evidence(None), "engine"),
        (evidence(None, engine="Docker hangs."), "engine"),
        (evidence(None, "silent"), "wall"),
        (evidence(None, "silent", engine="Docker hangs."), "engine"),
        (evidence({**SHOT, "ended": "wall"}, "silent"), "wall"),
        (evidence({**SHOT, "ended": "silent"}, "silent"), "wall"),
        (evidence(FINE, "silent"), "ok"),  # its last word came late
        (evidence(FINE, result=b"nonsense"), "exit"),
        (evidence(FINE, result=b'{"result": NaN}'), "exit"),
        (evidence(FINE, result=b'{"other": 1}'), "exit"),
        (evidence(FINE, result=b'{"result": ' + b"[" * 100 + b"]" * 100 + b"}"), "exit"),
        (evidence(FINE, result=b'{"result": ' + b"[" * 100_000), "exit"),
        (evidence(FINE, result=b'{"result": {"n": 1}}'), "ok"),
        (evidence(FAILED, result=b'{"error": "\\ud800"}'), "exit"),
    ],
)
def test_outcome(found: Evidence, outcome: str) -> None:
    verdict = judge(found, POLICY)
    assert verdict.outcome == outcome
    assert verdict.outcome == "ok" or verdict.reason


def test_what_a_tool_says_of_its_failure_is_the_reason() -> None:
    assert judge(evidence(FAILED, result=b'{"error": "no such column"}'), POLICY).reason == "no such column"
    large = b'{"result": "' + b"x" * 70_000 + b'"}'
    verdict = judge(evidence(FINE, result=large), POLICY)
    assert (verdict.outcome, verdict.result, verdict.large_result) == ("ok", None, large)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ('"a\\ud800b"', "a?b"),
        ('{"\\udfff": 1}', {"?": 1}),
        (str(2**64), str(2**64)),
        (str(2**63 - 1), 2**63 - 1),
        ("[1e999, true, null, 0.5]", [None, True, None, 0.5]),
    ],
)
def test_a_result_is_json_that_the_journal_takes(told: str, kept: Any) -> None:
    verdict = judge(evidence(FINE, result=f'{{"result": {told}}}'.encode()), POLICY)
    assert (verdict.outcome, verdict.result) == ("ok", kept)
    assert orjson.dumps(verdict.result)


def test_the_error_of_a_tool_is_text_that_the_journal_takes() -> None:
    verdict = judge(evidence(FAILED, result=b'{"error": "half \\ud800"}'), POLICY)
    assert verdict.reason == "half ?"


@pytest.mark.parametrize("word", [b'{"code": 1e5}', b'{"code": true}', b'{"code": 4294967296}', b"[" * 4096])
def test_what_a_worker_says_is_a_small_number_or_nothing(word: bytes) -> None:
    done = "import sys, wait; print(wait._done(sys.stdin.buffer.read()))"
    ran = subprocess.run(
        [sys.executable, "-c", done], input=word, cwd=INSIDE, capture_output=True, check=True
    )
    assert ran.stdout == b"{}\n"


@pytest.mark.parametrize(
    "said",
    [
        {"stdout": "\x01" * 100_000, "result": {"data": ['"' * 60_000]}},
        {"stdout": '"' * 131_072, "stderr": "\\" * 100_000},
        {"result": {"n": 2**70, "text": "\ud800", "deep": json.loads("[" * 300 + "]" * 300)}},
        {"egress": [{"url": "\x01" * 2_000}] * 100},
    ],
)
def test_a_run_on_the_node_ends_in_a_fact_whatever_a_page_says(tmp_path: Path, said: dict[str, Any]) -> None:
    doing = Doing(
        "00000000", Mock(), Mock(), Mock(), Mock(), Ledger(tmp_path / "runs"),
        Desk(tmp_path, tmp_path, lambda verb, data: None), Mock(),
        lambda name: lambda job, *_: Ending(job.run, 1, "ok", **said),
    )  # fmt: skip
    job = replace(job_of("web_fetch"), arguments={})
    ending, _ = doing.done(LiveRun(job, Streamer(MemoryStreams(), "tool:spark-1:x")))
    journal = Journal(tmp_path / "journal.sqlite3")
    assert journal.add("tool_run_ended", ending.to_json()) == 1
    journal.close()
    assert ending.outcome == "ok"


def test_frames_come_in_any_pieces_and_only_with_the_nonce() -> None:
    reader = FrameReader()
    frame = bytes(16) + b"1" + struct.pack(">I", 3) + b"abc"
    wire = struct.pack(">B3xI", 1, 10) + frame[:10] + struct.pack(">B3xI", 2, 5) + b"words"
    wire += struct.pack(">B3xI", 1, len(frame) - 10) + frame[10:]
    found = [one for byte in wire for one in reader.feed(bytes([byte]))]
    assert [(one.kind, one.payload) for one in found] == [("1", b"abc")]
    assert reader.words == b"words"
    reader.nonce = b"n" * 16
    with pytest.raises(FramesBroken):
        reader.feed(struct.pack(">B3xI", 1, len(frame)) + frame)
    with pytest.raises(FramesBroken):
        FrameReader().feed(b"HTTP/1.1 500 Oops")


def test_a_job_names_the_length_of_what_follows() -> None:
    sent = job_frame({"program": "x"}, b"12345")
    length = struct.unpack(">I", sent[:4])[0]
    assert json.loads(sent[5 : 5 + length])["input_bytes"] == 5
    assert sent[5 + length :] == b"12345"


def test_head_and_tail_and_the_whole_on_disk(tmp_path: Path) -> None:
    output = Output(tmp_path / "spool")
    for start in range(0, 500_000, 7_000):
        output.add(bytes(f"{start:07}", "ascii") * 1_000)
    assert output.is_truncated
    assert output.keep()
    whole = (tmp_path / "spool").read_bytes()
    assert len(whole) == output.total_bytes
    text = output.text()
    assert text.startswith(whole[:HEAD_BYTES].decode())
    assert text.endswith(whole[-TAIL_BYTES:].decode())


@pytest.mark.parametrize(
    ("data", "kept"), [(b"text", False), (b"\xff\x00", True), (b"\x00", True), (b"", False)]
)
def test_bytes_that_are_no_text_are_kept_as_they_are(tmp_path: Path, data: bytes, kept: bool) -> None:
    output = Output(tmp_path / "spool")
    output.add(data)
    assert output.keep() is kept
    assert (tmp_path / "spool").exists() is kept
    assert "\x00" not in output.text()


def test_an_end_fits_into_a_fact(tmp_path: Path) -> None:
    stdout, stderr = Output(tmp_path / "1"), Output(tmp_path / "2")
    for output in (stdout, stderr):
        output.add(b'"\x01\\' * 100_000)
    full = ending_fit(Ending("run", 1, "ok", result={"x": "y" * 60_000}), stdout, stderr)
    assert len(json.dumps(json.dumps(full.to_json()))) < 255 * 1024
    assert full.truncated
    assert full.stdout
    assert full.result


def test_a_flood_is_streamed_in_part_and_says_so() -> None:
    streams = MemoryStreams()
    now = 0.0
    streamer = Streamer(streams, "tool:spark-1:x", lambda: now)
    for _ in range(40):
        streamer.output(1, bytes(64 * 1024))
    now = 10.0
    streamer.output(1, b"later")
    streamer.end({"outcome": "ok"})
    entries = streams.entries["tool:spark-1:x"]
    skipped = sum(entry["bytes"] for entry in entries if entry["kind"] == "skipped")
    last = [entry for entry in entries if entry["kind"] == "out"][-1]
    assert skipped == 24 * 64 * 1024
    assert last["at"] == 40 * 64 * 1024
    assert entries[-1]["kind"] == "end"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a/b.txt", "a_b.txt"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("a\x1b[31m\u202e.txt", "a�[31m�.txt"),
        ("", "file"),
        ("x" * 300, "x" * 160),
    ],
)
def test_names_of_artifacts_are_names(name: str, shown: str) -> None:
    assert artifact_name(name, set()) == shown


def test_a_name_is_taken_once_and_nothing_is_run_by_a_browser() -> None:
    taken: set[str] = set()
    assert [artifact_name("a.txt", taken) for _ in range(3)] == ["a.txt", "a-2.txt", "a-3.txt"]
    types = [media_type_of(name, b"<svg") for name in ("x.svg", "x.html", "x.xhtml", "x.js", "x.csv", "x")]
    assert types[4] == "text/csv"
    assert not {"image/svg+xml", "text/html", "text/javascript"} & set(types)
