"""Live logs on a real engine: complete, bounded, resumable, safe to store."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import docker
import psutil
import pytest

from models_app.log_chunks import chunk_header, lines_unpack, skipped_count
from models_app.node import line_buffer, log_archive
from models_app.node.log_archive import LogArchive
from sparkweb.node_link.http_client import WebAnswer
from tests.support.images import BUSYBOX
from tests.support.node import Node
from tests.support.stack import wait_for

pytestmark = pytest.mark.docker


@pytest.fixture
def node(docker_host: str, tmp_path: Path, installation: str) -> Iterator[Node]:
    node = Node(docker_host, tmp_path, installation)
    yield node
    node.close()


def texts(node: Node, spec) -> list[str]:  # type: ignore[no-untyped-def]
    """The lines without their timestamps."""
    return [line.partition(" ")[2] for line in node.log_lines(spec)]


def ended(node: Node, spec, seconds: float = 30) -> None:  # type: ignore[no-untyped-def]
    wait_for(lambda: {"end": True} in node.log(spec), "the log's end", seconds)


def test_reset_then_lines_with_times_then_the_end(node: Node, free_port: int) -> None:
    spec = node.start(node.spec(free_port, image=BUSYBOX, command=["sh", "-c", "echo one; echo two >&2"]))
    ended(node, spec)
    entries = node.log(spec)
    assert entries[0] == {"reset": True}
    assert entries[-1] == {"end": True}
    assert sorted(texts(node, spec)) == ["one", "two"]
    assert all(line[4] == "-" and line[10] == "T" for line in node.log_lines(spec))


def test_lines_come_while_it_runs(node: Node, free_port: int) -> None:
    spec = node.start(node.spec(free_port, image=BUSYBOX, command=["sh", "-c", "echo up; sleep 300"]))
    wait_for(lambda: texts(node, spec) == ["up"], "the line of a container that runs", 3)


def test_only_the_last_thousand_lines_of_the_past(
    docker_host: str, tmp_path: Path, installation: str, free_port: int
) -> None:
    first = Node(docker_host, tmp_path, installation)
    script = "seq 1 3000; sleep 300"
    spec = first.start(first.spec(free_port, image=BUSYBOX, command=["sh", "-c", script]))
    wait_for(lambda: texts(first, spec)[-1:] == ["3000"], "all lines")
    first.close()
    second = Node(docker_host, tmp_path, installation)
    try:
        wait_for(lambda: texts(second, spec)[-1:] == ["3000"], "the last line")
        assert second.log(spec)[0] == {"reset": True}
        assert texts(second, spec) == [str(number) for number in range(2001, 3001)]
    finally:
        second.close()


def test_odd_bytes_become_text_that_can_be_stored(node: Node, free_port: int) -> None:
    spec = node.start(node.spec(free_port, env={"STANDIN_ODD_LOG": "1"}))
    wait_for(lambda: "after the long line" in texts(node, spec), "all of it")
    lines = texts(node, spec)
    assert "nul \ufffd here" in lines
    assert "broken \ufffd\ufffd\ufffd( utf-8" in lines
    assert "\x1b[31mred\x1b[0m <script>alert(1)</script>" in lines
    long = next(line for line in lines if line.startswith("xxx"))
    assert long == "x" * 16_000 + " … [line cut]"
    assert lines.index(long) + 1 == lines.index("after the long line")
    assert "\0" not in json.dumps(lines)


def test_flood_is_bounded_counted_and_ends_with_the_newest(node: Node, free_port: int) -> None:
    memory = psutil.Process().memory_info().rss
    # It is followed before the flood begins, so every line is there, counted, or told to be missing.
    env = {"STANDIN_FLOOD_LINES": "400000", "STANDIN_LOAD_SECONDS": "4"}
    spec = node.start(node.spec(free_port, env=env))
    wait_for(lambda: f"flood line {400_000} of 400000" in texts(node, spec)[-1:], "the newest line", 60)
    entries = node.log(spec)
    marks = [entry["skipped"] for entry in entries if "skipped" in entry]
    flood = [line for line in texts(node, spec) if line.startswith("flood")]
    assert marks
    assert True in marks or sum(marks) + len(flood) == 400_000
    numbers = [int(line.split()[2]) for line in flood]
    assert numbers == sorted(set(numbers))
    assert all(len(entry.get("lines", [])) <= line_buffer.BATCH_LINES for entry in entries)
    assert psutil.Process().memory_info().rss - memory < 64 * 1024 * 1024
    node.wait_ready(spec)


def test_flood_from_one_does_not_hold_up_another(node: Node, free_port: int) -> None:
    loud = node.start(node.spec(free_port, image=BUSYBOX, command=["sh", "-c", "yes flood"]))
    wait_for(lambda: any("skipped" in entry for entry in node.log(loud)), "the flood")
    quiet = node.start(
        node.spec(free_port + 1, ports=[], image=BUSYBOX, command=["sh", "-c", "echo here; sleep 300"])
    )
    wait_for(lambda: texts(node, quiet) == ["here"], "the quiet one's line", 5)
    node.stop(loud, timeout_seconds=1)


def test_redis_away_loses_nothing_small(node: Node, free_port: int) -> None:
    node.streams.down = True
    spec = node.start(node.spec(free_port, image=BUSYBOX, command=["sh", "-c", "seq 1 200; sleep 300"]))
    reader = wait_for(lambda: list(node.models._followers._followers.values()), "its reader")[0]
    wait_for(lambda: len(reader.buffer._lines) == 200, "the lines wait")
    node.streams.down = False
    wait_for(lambda: texts(node, spec) == [str(number) for number in range(1, 201)], "they are written")
    assert node.log(spec)[0] == {"reset": True}


def test_followed_on_across_a_frozen_engine(
    own_dockerd,
    tmp_path: Path,
    installation: str,
    free_port: int,  # type: ignore[no-untyped-def]
) -> None:
    """What was written while dockerd stood still comes afterwards, each line once."""
    from tests.support.images import images_build

    images_build(own_dockerd.host)
    node = Node(own_dockerd.host, tmp_path, installation)
    try:
        script = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo $i; sleep 0.02; done"
        spec = node.start(node.spec(free_port, ports=[], image=BUSYBOX, command=["sh", "-c", script]))
        wait_for(lambda: len(texts(node, spec)) > 20, "some lines")
        own_dockerd.freeze()
        try:
            wait_for(lambda: node.models.docker_status()["status"] == "down", "the freeze is noticed", 10)
        finally:
            own_dockerd.thaw()
        ended(node, spec, 60)
        assert texts(node, spec) == [str(number) for number in range(1, 401)]
    finally:
        node.close()


def test_removed_under_the_reader_ends_it(
    docker_client: docker.DockerClient, node: Node, free_port: int
) -> None:
    spec = node.start(node.spec(free_port, image=BUSYBOX, command=["sh", "-c", "echo up; sleep 300"]))
    wait_for(lambda: texts(node, spec) == ["up"], "the line")
    docker_client.containers.get(spec.name).remove(force=True)
    ended(node, spec)
    wait_for(
        lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("log-") and
                     thread.name != "log-writer"],
        "its thread ended",
    )  # fmt: skip


# The whole log, for good -------------------------------------------------------------


class Stored:
    """Web as the archive knows it: takes pieces, and gives their lines in order."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def post(self, target: str, body: bytes) -> WebAnswer:
        self.bodies.append(body)
        return WebAnswer(201, "")

    @property
    def is_whole(self) -> bool:
        return any(chunk_header(body)[0].last for body in list(self.bodies))

    def texts(self) -> list[str]:
        pieces = sorted((chunk_header(body) for body in self.bodies), key=lambda piece: piece[0].number)
        return [line for _, packed in pieces for line in lines_unpack(packed)]


def archived(docker_host: str, tmp_path: Path, installation: str, web: Stored) -> Node:
    return Node(docker_host, tmp_path, installation, archive=LogArchive(tmp_path / "logs", web, 2**26))


def test_the_whole_log_is_kept_across_agents(
    docker_host: str, tmp_path: Path, installation: str, free_port: int
) -> None:
    """The first agent goes while it writes; the second begins where the first one's archive ends."""
    web = Stored()
    first = archived(docker_host, tmp_path, installation, web)
    script = "seq 1 4000; while [ ! -e /tmp/go ]; do sleep 0.1; done; seq 4001 8000"
    spec = first.start(first.spec(free_port, ports=[], image=BUSYBOX, command=["sh", "-c", script]))
    wait_for(lambda: texts(first, spec)[-1:] == ["4000"], "the first half", 60)
    first.close()
    client = docker.DockerClient(base_url=docker_host, timeout=60)
    client.containers.get(spec.name).exec_run(["sh", "-c", "echo > /tmp/go"])
    client.close()
    second = archived(docker_host, tmp_path, installation, web)
    try:
        wait_for(lambda: web.is_whole, "the log's last piece", 120)
        assert [line.partition(" ")[2] for line in web.texts()] == [str(n) for n in range(1, 8001)]
    finally:
        second.close()


def test_of_a_flood_every_line_is_kept_or_counted(
    docker_host: str, tmp_path: Path, installation: str, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_archive, "LINES_AT_ONCE", 20_000)
    web = Stored()
    node = archived(docker_host, tmp_path, installation, web)
    try:
        command = ["sh", "-c", "seq 1 200000"]
        node.start(node.spec(free_port, ports=[], image=BUSYBOX, command=command))
        wait_for(lambda: web.is_whole, "the log's last piece", 120)
        told = web.texts()
        skipped = sum(skipped_count(line) or 0 for line in told)
        kept = [int(line.partition(" ")[2]) for line in told if skipped_count(line) is None]
        assert skipped > 0
        assert len(kept) + skipped == 200_000
        assert kept == sorted(set(kept))
    finally:
        node.close()
