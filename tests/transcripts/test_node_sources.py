"""Transcripts of another node: sent by its agent, kept as copies, read as that node's; whatever dies."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import RequestFactory

from sparkweb.accounts.models import User
from sparkweb.node_link.http_client import WebAnswer, WebBytes, WebUnreachable
from tests.support.claude_code import Transcript
from transcripts_app import node_store, views_nodes
from transcripts_app.agent import NotTaken, SourceSender, TranscriptSender
from transcripts_app.archive.models import ImportRun, RawBlock, Record, Session, TranscriptFile
from transcripts_app.importing import follower
from transcripts_app.importing.process import ArchiveProcess
from transcripts_app.models import TranscriptSource
from transcripts_app.store import file_bytes
from transcripts_app.wire import PIECE, PRESENT, SOURCES, Piece, print_of

VIEWS: dict[str, Callable[..., Any]] = {
    SOURCES: views_nodes.transcript_node_sources,
    PRESENT: views_nodes.transcript_node_present,
    PIECE: views_nodes.transcript_node_piece,
}


class Web:
    """The real views, as node spark-2 is let in by its signature; `lost` answers do not come back."""

    def __init__(self, node: str = "spark-2") -> None:
        self.node, self.lost, self.down = node, 0, False
        self.sent: list[str] = []

    def post(self, target: str, body: bytes) -> WebAnswer:
        if self.down:
            raise WebUnreachable("web is away")
        self.sent.append(target)
        request = RequestFactory().post(target, body, content_type="application/octet-stream")
        answer = inspect.unwrap(VIEWS[target])(request, self.node)
        if self.lost and target == PIECE:
            self.lost -= 1
            raise WebUnreachable("the answer was lost")
        return WebAnswer(answer.status_code, answer.content.decode())

    def fetch(self, target: str, body: bytes, _most: int) -> WebBytes:
        answer = self.post(target, body)
        return WebBytes(answer.status, answer.text.encode())


@pytest.fixture
def web(archive: Path, tmp_path: Path, admin: User, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    before, settings.DATA_DIR = settings.DATA_DIR, tmp_path / "data"
    monkeypatch.setattr(follower, "WALK_SECONDS", 0.0)
    monkeypatch.setattr(node_store, "HELD_SECONDS", -1.0)
    monkeypatch.setattr("transcripts_app.importing.process.SOURCES_SECONDS", 0.0)
    yield Web()
    settings.DATA_DIR = before


@pytest.fixture
def node(web: Web, projects: Path) -> TranscriptSender:
    """The agent's part on spark-2, without its thread."""
    return TranscriptSender([projects], lambda: web)  # type: ignore[arg-type,return-value]


@pytest.fixture
def process(archive: Path) -> ArchiveProcess:
    return ArchiveProcess(archive, "spark-1")


def _talk(root: Path, *prompts: str) -> Transcript:
    one = Transcript(root)
    for text in prompts:
        one.prompt(text)
    one.write()
    return one


def _send(node: TranscriptSender, web: Web) -> None:
    node.ask(web)  # type: ignore[arg-type]
    for _ in range(3):
        node.round()


def _copies() -> list[Path]:
    return [path for path in node_store.mirrors_root().rglob("*") if path.is_file()]


def test_a_session_of_another_node_is_read_as_its(
    node: TranscriptSender, web: Web, process: ArchiveProcess, projects: Path
) -> None:
    talk = _talk(projects, "one")
    _send(node, web)
    process.round()
    talk.prompt("two")
    talk.write()
    node.round()
    process.round()
    session = Session.objects.get()
    assert (session.prompts, session.source.node, session.source.root) == (2, "spark-2", str(projects))
    assert (session.project.node, session.source.kind, session.source.owner) == ("spark-2", "node", "admin")
    assert b"".join(file_bytes(TranscriptFile.objects.get())) == talk.path.read_bytes()
    assert ImportRun.objects.get().trigger == "node"
    sent = web.sent.count(PIECE)
    node.round()
    assert (sent, web.sent.count(PIECE)) == (2, 2)


def test_what_was_read_takes_no_room_and_goes_on(
    node: TranscriptSender, web: Web, process: ArchiveProcess, projects: Path
) -> None:
    talk = Transcript(projects)
    for number in range(60):
        talk.prompt(f"{number} " + "x" * 100_000)
    talk.write()
    _send(node, web)
    process.round()
    [copy] = _copies()
    assert copy.stat().st_size == talk.path.stat().st_size
    assert copy.stat().st_blocks * 512 < copy.stat().st_size / 4
    talk.prompt("one more")
    talk.write()
    node.round()
    process.round()
    assert Record.objects.count() == 61
    assert b"".join(file_bytes(TranscriptFile.objects.get())) == talk.path.read_bytes()
    assert TranscriptFile.objects.get().generation == 1


def test_lost_answers_double_nothing(
    node: TranscriptSender, web: Web, process: ArchiveProcess, projects: Path
) -> None:
    talk = Transcript(projects)
    for number in range(100):
        talk.prompt(f"{number} " + "y" * 100_000)
    talk.write()
    node.ask(web)  # type: ignore[arg-type]
    for _ in range(12):
        web.lost = 1
        with pytest.raises(WebUnreachable):
            node.round()
        node = TranscriptSender([projects], lambda: web)  # type: ignore[arg-type,return-value]
        node.ask(web)  # type: ignore[arg-type]
        if sum(path.stat().st_size for path in _copies()) == talk.path.stat().st_size:
            break
    assert _copies()[0].read_bytes() == talk.path.read_bytes()
    process.round()
    assert Record.objects.count() == 100


def test_a_copy_cut_by_a_kill_is_gone_on_with(
    node: TranscriptSender, web: Web, process: ArchiveProcess, projects: Path
) -> None:
    talk = _talk(projects, "one", "two")
    _send(node, web)
    [copy] = _copies()
    copy.write_bytes(copy.read_bytes()[:-7])
    talk.prompt("three")
    talk.write()
    node.round()
    process.round()
    assert copy.read_bytes() == talk.path.read_bytes()
    assert Record.objects.count() == 3


def test_a_rewritten_file_is_sent_from_its_beginning(
    node: TranscriptSender, web: Web, process: ArchiveProcess, projects: Path
) -> None:
    talk = _talk(projects, "one", "two")
    _send(node, web)
    process.round()
    first = talk.path.read_bytes().splitlines(keepends=True)
    talk.path.write_bytes(b'{"type":"new","uuid":"n"}\n' + b"".join(first))
    node.round()
    assert _copies()[0].read_bytes() == talk.path.read_bytes()
    process.round()
    file = TranscriptFile.objects.get()
    assert b"".join(file_bytes(file)) == talk.path.read_bytes()
    talk.path.write_bytes(first[0])
    node.round()
    assert _copies()[0].read_bytes() == first[0]


def test_deleted_there_is_flagged_here_also_when_the_agent_was_away(
    node: TranscriptSender, web: Web, process: ArchiveProcess, projects: Path
) -> None:
    talk, other = _talk(projects, "one"), _talk(projects, "two")
    _send(node, web)
    process.round()
    talk.path.unlink()
    again = TranscriptSender([projects], lambda: web)  # type: ignore[arg-type,return-value]
    _send(again, web)
    process.round()
    gone = {session.session_id: session.gone_ms is not None for session in Session.objects.all()}
    assert gone == {talk.session_id: True, other.session_id: False}
    assert RawBlock.objects.count() == 2


def test_an_archive_that_was_set_back_reads_no_holes(
    node: TranscriptSender, web: Web, process: ArchiveProcess, projects: Path, archive: Path,
    archive_template: Path,
) -> None:  # fmt: skip
    talk = Transcript(projects)
    for number in range(60):
        talk.prompt(f"{number} " + "x" * 100_000)
    talk.write()
    _send(node, web)
    process.round()
    import shutil

    from django.db import connections

    connections["archive"].close()
    for ending in ("-wal", "-shm"):
        archive.with_name(archive.name + ending).unlink(missing_ok=True)
    shutil.copy(archive_template, archive)
    fresh = ArchiveProcess(archive, "spark-1")
    fresh.round()
    assert Record.objects.count() == 0
    _send(TranscriptSender([projects], lambda: web), web)  # type: ignore[arg-type,return-value]
    fresh.round()
    assert Record.objects.count() == 60
    assert TranscriptFile.objects.get().bad_lines == 0


def test_only_what_is_wanted_is_sent(
    node: TranscriptSender, web: Web, process: ArchiveProcess, projects: Path
) -> None:
    _talk(projects, "one")
    node.ask(web)  # type: ignore[arg-type]
    source = TranscriptSource.objects.get()
    source.enabled = False
    source.save()
    with pytest.raises(NotTaken, match="No such folder of this node is wanted"):
        node.round()
    node.ask(web)  # type: ignore[arg-type]
    node.round()
    assert not _copies()


def test_this_machine_s_own_node_sends_nothing(web: Web, projects: Path) -> None:
    web.node = settings.NODE_NAME
    _talk(projects, "one")
    own = TranscriptSender([projects], lambda: web)  # type: ignore[arg-type,return-value]
    _send(own, web)
    assert web.sent == [SOURCES]
    assert not TranscriptSource.objects.exists()


def _piece(path: str, projects: Path, data: bytes = b"{}\n", **given: Any) -> bytes:
    told = {"source": str(projects), "path": path, "offset": 0, "mtime_ns": 1, "before": "", "anew": False}
    return Piece(**(told | given)).pack(data)


@pytest.mark.parametrize(
    "path",
    ["../x.jsonl", "/etc/x.jsonl", "a/../../x.jsonl", "x.txt", "a\\b.jsonl", "a/./x.jsonl", "x\n.jsonl", "",
     "d/" * 20 + "x.jsonl", "n" * 300 + ".jsonl"],
)  # fmt: skip
def test_a_path_that_leads_elsewhere_is_refused(
    node: TranscriptSender, web: Web, projects: Path, path: str
) -> None:
    node.ask(web)  # type: ignore[arg-type]
    assert web.post(PIECE, _piece(path, projects)).status == 400
    assert not _copies()


@pytest.mark.parametrize("body", [b"", b"{}\n", b"[]\nx", b"x" * 5000, b'{"source":1}\n', b"\xff\xfe\n"])
def test_nonsense_is_refused(web: Web, body: bytes) -> None:
    for target in VIEWS:
        assert web.post(target, body).status in (400, 404)


def test_another_node_s_folder_is_none_of_its(node: TranscriptSender, web: Web, projects: Path) -> None:
    node.ask(web)  # type: ignore[arg-type]
    web.node = "spark-3"
    assert web.post(PIECE, _piece("a/x.jsonl", projects)).status == 404
    assert web.post(PRESENT, f'{{"source": "{projects}", "files": []}}'.encode()).status == 404


def test_what_waits_is_bounded(
    node: TranscriptSender, web: Web, process: ArchiveProcess, projects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "TRANSCRIPT_SPOOL_MB", 1)
    talk = Transcript(projects)
    for number in range(20):
        talk.prompt(f"{number} " + "z" * 500_000)
    talk.write()
    node.ask(web)  # type: ignore[arg-type]
    with pytest.raises(NotTaken, match="507"):
        node.round()
    for _ in range(20):
        process.round()
        try:
            node.round()
            break
        except NotTaken:
            continue
    process.round()
    assert Record.objects.count() == 20


def test_the_print_changes_with_what_lies_before(tmp_path: Path) -> None:
    place = tmp_path / "a"
    place.write_bytes(b"a" * 10_000)
    before = print_of(place, 9000)
    place.write_bytes(b"b" + b"a" * 9_999)
    assert print_of(place, 9000) != before
    assert isinstance(SourceSender(tmp_path, Web()).follower, follower.Follower)  # type: ignore[arg-type]
