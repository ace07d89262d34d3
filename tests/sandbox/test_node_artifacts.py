"""Files that a run leaves on their way to web: refused for now or for good, on a full disk, one by one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox_app.node.artifacts import Collector, Uploads
from sandbox_app.node.telling import Teller
from sparkweb.node_link.http_client import WebAnswer
from tests.support.stack import wait_for


class Web:
    """Answers by the file's name, else 200."""

    def __init__(self, **statuses: int) -> None:
        self.statuses = statuses
        self.asked: list[str] = []

    def post(self, _target: str, body: bytes) -> WebAnswer:
        name = json.loads(body.partition(b"\n")[0])["name"]
        self.asked.append(name)
        return WebAnswer(self.statuses.get(name, 200), "")

    def fetch(self, *_: object) -> object:
        raise NotImplementedError


def collected(folder: Path, *names: str) -> Collector:
    folder.mkdir(exist_ok=True)
    collector = Collector(folder, "a" * 16, 10, 1 << 20)
    for name in names:
        collector.begin(json.dumps({"name": name}).encode())
        collector.data(b"bytes")
    collector.finish()
    return collector


@pytest.mark.parametrize(
    ("status", "kept"), [(401, True), (403, True), (429, True), (507, True), (413, False)]
)
def test_what_web_may_take_later_stays_and_holds_up_no_other(tmp_path: Path, status: int, kept: bool) -> None:
    folder = tmp_path / "artifacts"
    collected(folder, "first", "second")
    web = Web(first=status)
    uploads = Uploads(folder, web)  # type: ignore[arg-type]
    assert uploads.send_all() is not kept
    assert sorted(web.asked) == ["first", "second"]
    left = [json.loads(path.read_text())["name"] for path in folder.glob("*.json")]
    assert left == (["first"] if kept else [])


def test_a_full_disk_costs_the_file_and_not_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "artifacts"
    folder.mkdir()
    collector = Collector(folder, "a" * 16, 10, 1 << 20)
    monkeypatch.setattr(collector, "_folder", tmp_path / "gone")
    collector.begin(b'{"name": "lost"}')
    collector.data(b"bytes")
    collector.finish()
    monkeypatch.setattr(collector, "_folder", folder)
    collector.begin(b'{"name": "kept"}')
    collector.data(b"bytes")
    collector.finish()
    assert [entry["name"] for entry in collector.told()] == ["kept"]


def test_what_goes_wrong_after_a_fact_does_not_end_the_telling() -> None:
    class Journal:
        full = True

        def add(self, verb: str, _data: object) -> int:
            if self.full:
                from sparkweb.node_link.journal import JournalFull

                raise JournalFull("no room")
            return 1

    journal, done = Journal(), []
    teller = Teller(journal)  # type: ignore[arg-type]
    teller.tell("one", {}, lambda: 1 / 0)  # type: ignore[arg-type]
    teller.tell("two", {}, lambda: done.append("two"))
    journal.full = False
    teller.start()
    wait_for(lambda: done == ["two"], "the second fact")
    teller.close()
