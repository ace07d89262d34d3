"""The whole log of a container: taken on the node, stored by web, paged, searched, downloaded, pruned."""

from __future__ import annotations

import asyncio
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from models_app.log_archive import (
    LogPage,
    chunk_store,
    folders_tidy,
    log_download,
    log_is_whole,
    log_page,
    log_search,
)
from models_app.log_chunks import (
    LINES_LIMIT,
    TEXT_LIMIT_BYTES,
    ChunkHeader,
    ChunkInvalid,
    chunk_header,
    chunk_pack,
    lines_unpack,
    skipped_count,
    skipped_mark,
)
from models_app.models import LaunchMember, LogChunk
from models_app.node import log_archive as node_archive
from models_app.node.log_archive import LogArchive, MemberArchive
from sparkweb.adapters.docker_logs import LogLine
from sparkweb.node_link.http_client import WebAnswer, WebUnreachable
from tests.factories import AttemptFactory, LaunchFactory, MemberFactory
from tests.support.stack import wait_for

UID = "00000000000000bb"
MINUTES = 60.0


def at(number: int) -> str:
    return f"2026-11-30T10:00:00.{number:09d}Z"


def lines(first: int, count: int, stream: int = 1) -> list[LogLine]:
    return [LogLine(at(number), f"line {number}", stream) for number in range(first, first + count)]


def texts(chunks: list[bytes]) -> list[str]:
    """All lines of chunks, as they follow each other by their numbers."""
    found: dict[int, str] = {}
    for body in chunks:
        header, packed = chunk_header(body)
        found |= {header.first_line + n: text for n, text in enumerate(lines_unpack(packed))}
    assert sorted(found) == list(range(len(found)))
    return [found[n] for n in sorted(found)]


def words(chunks: list[bytes]) -> list[str]:
    return [line.partition(" ")[2] for line in texts(chunks)]


# The form of a piece ---------------------------------------------------------------


def header(**fields: Any) -> ChunkHeader:
    given = {"member": UID, "number": 0, "first_line": 0, "lines": 1, "from_at": at(0), "to_at": at(0)}
    return ChunkHeader(**{**given, **fields})


def test_a_piece_comes_back_as_it_was() -> None:
    told = ["2026-11-30T10:00:00Z \x1b[31mred\x1b[0m", skipped_mark(12), "2026-11-30T10:00:01Z  ü", ""]
    found, packed = chunk_header(chunk_pack(header(lines=4, last=True), told))
    assert (found, lines_unpack(packed)) == (header(lines=4, last=True), told)
    assert [skipped_count(line) for line in told] == [None, 12, None, None]


ODD_HEADERS: list[dict[str, Any]] = [
    {"member": "../../etc"},
    {"number": -1},
    {"number": "1"},
    {"lines": LINES_LIMIT + 1},
    {"lines": True},
    {"from_at": "\0"},
    {"to_at": "x" * 100},
    {"first_line": 2**40},
    {"last": 1},
    {"version": 2},
    {"more": 1},
]


@pytest.mark.parametrize("odd", ODD_HEADERS, ids=str)
def test_a_header_that_is_none_is_refused(odd: dict[str, Any]) -> None:
    given = {"member": UID, "number": 0, "first_line": 0, "lines": 1, "from_at": "", "to_at": ""}
    with pytest.raises(ChunkInvalid):
        chunk_header(json.dumps({**given, **odd}).encode() + b"\n")


@pytest.mark.parametrize("body", [b"", b"no json\n", b"[]\n", b"{}\n", b"x" * 5000])
def test_what_is_no_piece_is_refused(body: bytes) -> None:
    with pytest.raises(ChunkInvalid):
        chunk_header(body)


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"nothing packed",
        zlib.compress(b"zlib is not gzip"),
        chunk_pack(header(), ["x"]).partition(b"\n")[2][:-3],
        chunk_pack(header(), ["x" * (TEXT_LIMIT_BYTES + 1)]).partition(b"\n")[2],
    ],
    ids=["empty", "plain", "zlib", "cut", "bomb"],
)
def test_lines_that_cannot_be_unpacked_are_refused(packed: bytes) -> None:
    with pytest.raises(ChunkInvalid):
        lines_unpack(packed)


# On the node -----------------------------------------------------------------------


class Web:
    """Takes pieces, as web would; `down` is without an answer, `status` what it answers."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.down = False
        self.status = 201

    def post(self, target: str, body: bytes) -> WebAnswer:
        if self.down:
            raise WebUnreachable("nobody answers")
        if self.status < 300:
            self.bodies.append(body)
        return WebAnswer(self.status, "")


def spooled(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("*.chunk"))]


def test_every_line_is_taken_once_and_in_order(tmp_path: Path) -> None:
    archive = MemberArchive(tmp_path, UID)
    archive.put(lines(0, 7000))
    archive.put(lines(6000, 2000))  # Docker sends some again
    archive.finish(ended=True)
    chunks = spooled(tmp_path)
    assert words(chunks) == [f"line {n}" for n in range(8000)]
    assert [chunk_header(body)[0].last for body in chunks] == [False, True]


def test_an_agent_that_was_killed_goes_on_where_its_spool_ends(tmp_path: Path) -> None:
    killed = MemberArchive(tmp_path, UID)
    killed.put(lines(0, 7000))  # 5,000 of them lie in the spool, the rest is lost with the agent
    (tmp_path / f"{UID}.json").unlink()  # it was killed before it noted where it is
    later = MemberArchive(tmp_path, UID)
    assert later.since == at(4999)
    later.put(lines(4000, 4000))
    later.finish(ended=True)
    assert words(spooled(tmp_path)) == [f"line {n}" for n in range(8000)]


def test_a_note_is_enough_once_the_pieces_are_sent(tmp_path: Path) -> None:
    first = MemberArchive(tmp_path, UID)
    first.put(lines(0, 10))
    first.finish(ended=False)
    for path in tmp_path.glob("*.chunk"):
        path.unlink()
    MemberArchive(tmp_path, UID).finish(ended=True)
    (body,) = spooled(tmp_path)
    assert (chunk_header(body)[0].number, chunk_header(body)[0].first_line) == (1, 10)


def test_a_flood_is_cut_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_archive, "LINES_AT_ONCE", 6000)
    now = [0.0]
    archive = MemberArchive(tmp_path, UID, clock=lambda: now[0])
    archive.put(lines(0, 10_000))
    now[0] += 1
    archive.put(lines(10_000, 100))
    archive.finish(ended=True)
    told = texts(spooled(tmp_path))
    assert told[6000] == skipped_mark(4000)
    assert [line.partition(" ")[2] for line in told[6001:]] == [f"line {n}" for n in range(10_000, 10_100)]


def test_long_lines_fill_a_piece_sooner_and_it_stays_within_what_web_takes(tmp_path: Path) -> None:
    archive = MemberArchive(tmp_path, UID)
    archive.put([LogLine(at(n), "ü" * 16_000, 1) for n in range(200)])
    archive.finish(ended=True)
    assert len(spooled(tmp_path)) > 5
    assert len(texts(spooled(tmp_path))) == 200


def test_pieces_wait_until_web_has_stored_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_archive, "RETRY_SLOWEST_SECONDS", 0.1)
    web = Web()
    web.status = 503
    archive = LogArchive(tmp_path / "logs", web, 2**20)
    archive.start()
    member = archive.member(UID)
    member.put(lines(0, 6000))
    member.finish(ended=True)
    wait_for(lambda: archive._down, "web was tried", MINUTES)
    web.down, web.status = True, 201
    assert len(spooled(tmp_path / "logs")) == 2
    web.down = False
    wait_for(lambda: not spooled(tmp_path / "logs"), "the pieces are sent", MINUTES)
    assert len(texts(web.bodies)) == 6000
    archive.close()


def test_a_piece_that_web_refuses_for_good_holds_nobody_up(tmp_path: Path) -> None:
    web = Web()
    web.status = 400
    archive = LogArchive(tmp_path / "logs", web, 2**20)
    archive.start()
    archive.member(UID).put(lines(0, 5000))
    wait_for(lambda: not spooled(tmp_path / "logs"), "it is given up", MINUTES)
    archive.close()
    assert web.bodies == []


def test_the_spool_stays_within_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_archive, "RETRY_SLOWEST_SECONDS", 0.1)
    web = Web()
    web.down = True
    archive = LogArchive(tmp_path / "logs", web, 100_000)
    archive.start()
    archive.member(UID).put(lines(0, 90_000))

    def names() -> list[str]:
        return sorted(path.name for path in (tmp_path / "logs").glob("*.chunk"))

    wait_for(lambda: f"{UID}-00000000.chunk" not in names(), "the oldest are dropped", MINUTES)
    wait_for(lambda: sum(map(len, spooled(tmp_path / "logs"))) <= 100_000, "down to the limit", MINUTES)
    assert names()[-1] == f"{UID}-{90_000 // node_archive.CHUNK_LINES - 1:08d}.chunk"
    archive.close()


# In web ----------------------------------------------------------------------------


@pytest.fixture
def member(node: Any, settings: Any, tmp_path: Path) -> LaunchMember:
    settings.DATA_DIR = tmp_path
    return MemberFactory(attempt=AttemptFactory(launch=LaunchFactory(node=node)), uid=UID, node=node)


def store(first: int, count: int, number: int, *, last: bool = False, text: str = "line {}") -> bool:
    told = [f"{at(n)} {text.format(n)}" for n in range(first, first + count)]
    span = {"from_at": at(first), "to_at": at(first + count - 1)}
    head = header(number=number, first_line=first, lines=count, last=last, **span)
    return chunk_store("spark-1", chunk_pack(head, told))


def numbers(page: LogPage) -> list[int]:
    return [one.line for one in page.lines if one.skipped is None]


def test_a_piece_is_stored_once(member: LaunchMember) -> None:
    assert [store(0, 10, 0), store(0, 10, 0)] == [True, False]
    assert LogChunk.objects.count() == 1


@pytest.mark.parametrize(
    ("node_name", "head", "told"),
    [
        ("spark-2", {}, ["x"]),  # another node's container
        ("spark-1", {"member": "00000000000000cc"}, ["x"]),
        ("spark-1", {"lines": 2}, ["x"]),
        ("spark-1", {}, ["nul \0"]),
    ],
)
def test_a_piece_that_cannot_be_true_is_refused(
    member: LaunchMember, node_name: str, head: dict[str, Any], told: list[str]
) -> None:
    with pytest.raises(ChunkInvalid):
        chunk_store(node_name, chunk_pack(header(**head), told))
    assert not LogChunk.objects.exists()


def test_pages_lead_back_to_the_first_line(member: LaunchMember) -> None:
    store(0, 1500, 0)
    store(1500, 1500, 1, last=True)
    page = log_page(member)
    seen = numbers(page)
    while page.before_line is not None:
        page = log_page(member, before_line=page.before_line)
        seen = numbers(page) + seen
    assert seen == list(range(3000))
    assert log_is_whole(member)


def test_a_page_before_a_time(member: LaunchMember) -> None:
    store(0, 100, 0)
    page = log_page(member, before_at=at(50), count=20)
    assert numbers(page) == list(range(30, 50))
    assert page.before_line == 30


def test_what_is_newer_than_the_pieces_is_on_its_way(member: LaunchMember) -> None:
    assert log_page(member, before_at=at(5)) == LogPage([], None, behind=True)
    store(0, 100, 0)
    assert log_page(member, before_at=at(5000)).behind
    assert not log_page(member, before_at=at(99)).behind
    store(100, 1, 1, last=True)
    assert not log_page(member, before_at=at(5000)).behind


def test_search_finds_from_the_newest_back_and_ignores_case_and_colours(member: LaunchMember) -> None:
    store(0, 100, 0, text="\x1b[31mLi\x1b[0mne {} of hay")
    store(100, 100, 1)
    found = log_search(member, "LINE 7")
    assert [hit.line for hit in found.hits] == [79, 78, 77, 76, 75, 74, 73, 72, 71, 70, 7]
    assert found.before_line is None
    assert log_search(member, "needle").hits == []


def test_a_search_stops_after_a_hundred_hits_and_goes_on(member: LaunchMember) -> None:
    store(0, 250, 0)
    seen: list[int] = []
    before = None
    for _ in range(3):
        found = log_search(member, "line", before)
        seen += [hit.line for hit in found.hits]
        before = found.before_line
    assert (seen, before) == (list(reversed(range(250))), None)


def test_the_oldest_but_the_beginning_go_when_a_container_has_too_much(
    member: LaunchMember, settings: Any
) -> None:
    store(0, 5000, 0)
    settings.LOG_CONTAINER_MB = 3.5 * LogChunk.objects.get().size_bytes / 10**6
    for number in range(1, 6):
        store(5000 * number, 5000, number)
    kept = list(LogChunk.objects.order_by("number").values_list("number", flat=True))
    assert (kept[0], kept[-1]) == (0, 5)
    assert len(kept) < 6
    page = log_page(member, before_line=5000 * kept[1] + 10)
    (mark,) = [one for one in page.lines if one.skipped is not None]
    assert (mark.line, mark.skipped) == (5000, 5000 * kept[1] - 5000)
    folder = Path(settings.DATA_DIR) / "launch-logs" / UID
    assert {path.name for path in folder.iterdir()} == {f"{number}.gz" for number in kept}


def test_all_together_stay_within_their_limit(member: LaunchMember, settings: Any) -> None:
    store(0, 5000, 0)
    settings.LOG_KEEP_MB = 2.5 * LogChunk.objects.get().size_bytes / 10**6
    for number in range(1, 4):
        store(5000 * number, 5000, number)
    assert list(LogChunk.objects.order_by("number").values_list("number", flat=True)) == [2, 3]


@pytest.mark.django_db(transaction=True)
def test_the_download_is_the_whole_log_and_what_came_since(member: LaunchMember) -> None:
    store(0, 100, 0)
    store(150, 50, 2)
    rest = [f"{at(n)} line {n}" for n in range(180, 230)]

    async def read() -> bytes:
        return b"".join([piece async for piece in log_download(member, rest)])

    told = asyncio.run(read()).decode().splitlines()
    assert told[99:102] == [f"{at(99)} line 99", "--- 50 lines are missing here", f"{at(150)} line 150"]
    assert told[-1] == f"{at(229)} line 229"
    assert len(told) == 100 + 1 + 50 + 30


def test_a_damaged_piece_is_a_gap(member: LaunchMember, settings: Any) -> None:
    store(0, 100, 0)
    store(100, 100, 1)
    (Path(settings.DATA_DIR) / "launch-logs" / UID / "1.gz").write_bytes(b"damaged")
    page = log_page(member)
    assert (page.lines[-1].line, page.lines[-1].skipped) == (100, 100)
    assert numbers(page) == list(range(100))


def test_files_of_containers_that_are_forgotten_go(member: LaunchMember, settings: Any) -> None:
    store(0, 10, 0)
    assert folders_tidy() == 0
    member.attempt.launch.delete()
    assert folders_tidy() == 1
    assert list((Path(settings.DATA_DIR) / "launch-logs").iterdir()) == []


# By the API and the page -------------------------------------------------------------


def test_the_api_pages_searches_and_downloads(member: LaunchMember, client_of: Any, viewer: Any) -> None:
    store(0, 100, 0, last=True)
    base = f"/api/launches/{member.attempt.launch.uid}"
    client = client_of(viewer)
    page = client.get(f"{base}/log-history", {"before_line": 50, "count": 10}).json()
    assert [one["line"] for one in page["lines"]] == list(range(40, 50))
    assert (page["before_line"], page["behind"]) == (40, False)
    hits = client.get(f"{base}/log-search", {"q": "line 9", "member": UID}).json()
    assert [one["line"] for one in hits["hits"]] == [99, 98, 97, 96, 95, 94, 93, 92, 91, 90, 9]
    answer = client.get(f"{base}/log-file")
    assert answer["Content-Disposition"].endswith(f'-{UID}.log"')


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("log-history", {"before_line": "x"}, 400),
        ("log-history", {"count": 100000}, 400),
        ("log-history", {"before_at": "1; drop"}, 400),
        ("log-history", {"before_at": "\0"}, 400),
        ("log-history", {"member": "0" * 16}, 404),
        ("log-history", {"member": "x\0"}, 404),
        ("log-search", {}, 400),
        ("log-search", {"q": "x" * 201}, 400),
        ("log-search", {"q": "\0"}, 400),
        ("log-file", {"member": "../../x"}, 404),
    ],
)
def test_odd_questions(
    member: LaunchMember, client_of: Any, viewer: Any, path: str, query: dict[str, Any], status: int
) -> None:
    answer = client_of(viewer).get(f"/api/launches/{member.attempt.launch.uid}/{path}", query)
    assert answer.status_code == status


def test_an_earlier_attempts_log_has_a_page_of_its_own(
    member: LaunchMember, client_of: Any, viewer: Any
) -> None:
    launch = member.attempt.launch
    member.live = False
    member.save()
    store(0, 10, 0, last=True)
    second = AttemptFactory(launch=launch, number=2)
    MemberFactory(attempt=second, uid="00000000000000cc", node=member.node)
    client = client_of(viewer)
    now = client.get(f"/launches/{launch.uid}/").content.decode()
    assert 'data-member="00000000000000cc" data-live="yes"' in now
    before = client.get(f"/launches/{launch.uid}/?attempt=1").content.decode()
    assert f'data-member="{UID}" data-live="no" data-pinned' in before
    assert "line 9" in before
