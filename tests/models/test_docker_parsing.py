"""What the Docker adapter makes of bytes, messages and errors, without an engine."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest

from sparkweb.adapters.docker_errors import (
    ContainerBusy,
    ContainerMissing,
    CreateFailed,
    DockerTrouble,
    GpuMissing,
    ImageMissing,
    MountMissing,
    NameTaken,
    PortInUse,
    refusal,
)
from sparkweb.adapters.docker_logs import LogDecoder, LogFramesBroken, LogLine, Unrepeated, line_text
from sparkweb.adapters.docker_pull import PullProgress
from sparkweb.adapters.docker_types import docker_time, listed_container, unix_time

AT = "2026-11-23T19:04:01.{:09d}Z"


def frame(number: int, text: bytes, stream: int = 1) -> bytes:
    payload = AT.format(number).encode() + b" " + text
    return struct.pack(">BxxxL", stream, len(payload)) + payload


def decode(data: bytes, cuts: list[int]) -> list[LogLine]:
    decoder, lines, before = LogDecoder(), [], 0
    for cut in [*sorted(cuts), len(data)]:
        lines += decoder.feed(data[before:cut])
        before = cut
    return lines + list(decoder.finish())


def test_frames_cut_anywhere_give_the_same_lines() -> None:
    data = b"".join(frame(n, f"line {n}\n".encode(), 1 + n % 2) for n in range(50))
    whole = decode(data, [])
    assert [line.text for line in whole] == [f"line {n}" for n in range(50)]
    assert whole[3] == LogLine(AT.format(3), "line 3", 2)
    chance = random.Random(7)
    for _ in range(50):
        assert decode(data, chance.sample(range(len(data)), 20)) == whole


@pytest.mark.parametrize("newline", [b"\n", b""], ids=["json-file", "local"])
def test_pieces_of_a_long_line_are_put_together(newline: bytes) -> None:
    data = frame(1, b"a" * 16384) + frame(1, b"b" * 10 + newline) + frame(2, b"next\n")
    lines = decode(data, [])
    assert [line.at for line in lines] == [AT.format(1), AT.format(2)]
    assert lines[0].text == "a" * 16000 + " … [line cut]"


def test_pieces_of_two_streams_do_not_mix() -> None:
    data = frame(1, b"o" * 16384, 1) + frame(1, b"e\n", 2) + frame(1, b"o", 1)
    assert [line.stream for line in decode(data, [])] == [2, 1]


def test_line_of_whole_pieces_ends_with_the_next_line() -> None:
    data = frame(1, b"a" * 16384) + frame(2, b"next\n")
    assert [line.text[:4] for line in decode(data, [])] == ["aaaa", "next"]


def test_last_words_without_a_newline() -> None:
    assert [line.text for line in decode(frame(1, b"unfinished"), [])] == ["unfinished"]


def test_huge_line_needs_little_memory() -> None:
    decoder = LogDecoder()
    for _ in range(3000):
        assert list(decoder.feed(frame(1, b"x" * 16384))) == []
    assert sum(len(kept) for _, kept in decoder._partial.values()) <= 16001


@pytest.mark.parametrize("data", [b"plain text of a terminal\r\n", b"\x01\x00\x00\x00\xff\xff\xff\xff"])
def test_what_are_no_frames(data: bytes) -> None:
    with pytest.raises(LogFramesBroken):
        list(LogDecoder().feed(data))


@pytest.mark.parametrize(
    "raw, text",
    [
        (b"plain\n", "plain"),
        (b"tab\tstays\r\n", "tab\tstays"),
        (b"\xff\xfe\n", "\ufffd\ufffd"),
        (b"a\0b\n", "a\ufffdb"),
        (b"bell\x07\x7f\n", "bell\ufffd\ufffd"),
        (b"\x1b[1mbold\x1b[0m\n", "\x1b[1mbold\x1b[0m"),
        (b"  0%|   | 0/2\r 50%|#  | 1/2\r100%|###| 2/2\n", "100%|###| 2/2"),
        ("größe\n".encode(), "größe"),
        (b"", ""),
    ],
)
def test_text_of_a_line(raw: bytes, text: str) -> None:
    assert line_text(raw) == text


def lines_at(*numbers: int, stream: int = 1) -> list[LogLine]:
    return [LogLine(AT.format(number), str(number), stream) for number in numbers]


def test_repeated_lines_are_dropped() -> None:
    seen = Unrepeated(clock=lambda: 4e9)
    assert len(seen.of(lines_at(1, 2, 3))) == 3
    assert [line.text for line in seen.of(lines_at(2, 3, 4))] == ["4"]
    assert seen.until == AT.format(4)


def test_streams_may_overtake_each_other() -> None:
    seen = Unrepeated(clock=lambda: 4e9)
    seen.of(lines_at(5))
    assert len(seen.of(lines_at(4, stream=2))) == 1


def test_clock_set_back_loses_no_lines() -> None:
    hour_before = 1795457041.0 - 3600
    seen = Unrepeated(clock=lambda: hour_before)
    seen.of(lines_at(5))
    back = [LogLine("2026-11-23T18:04:01.000000001Z", "after", 1)]
    assert seen.of(back) == back


def layer(name: str, status: str, current: int | None = None, total: int | None = None) -> dict[str, Any]:
    detail = {"current": current, "total": total} if current is not None else {}
    return {"id": name, "status": status, "progressDetail": detail}


def test_pull_total_is_unknown_until_every_layer_is() -> None:
    pull = PullProgress()
    assert (pull.done_bytes, pull.total_bytes, pull.message) == (0, None, "asking the registry")
    pull.feed({"status": "Pulling from library/x", "id": "latest"})
    for name in "abc":
        pull.feed(layer(name, "Pulling fs layer"))
    pull.feed(layer("a", "Already exists"))
    pull.feed(layer("b", "Downloading", 10, 100))
    assert (pull.done_bytes, pull.total_bytes, pull.message) == (10, None, "1 of 3 layers")
    pull.feed(layer("c", "Downloading", 5, 50))
    assert (pull.done_bytes, pull.total_bytes) == (15, 150)
    pull.feed(layer("b", "Download complete"))
    pull.feed(layer("b", "Extracting", 3, 7))
    assert (pull.done_bytes, pull.total_bytes) == (105, 150)
    pull.feed(layer("b", "Pull complete"))
    pull.feed(layer("c", "Pull complete"))
    pull.feed({"status": "Status: Downloaded newer image for x"})
    assert (pull.done_bytes, pull.message, pull.finished, pull.error) == (150, "3 of 3 layers", True, None)


def test_pull_of_what_is_here_and_pull_that_fails() -> None:
    here, failed = PullProgress(), PullProgress()
    here.feed({"status": "Status: Image is up to date for x"})
    failed.feed({"errorDetail": {"message": "no"}, "error": "manifest unknown"})
    assert here.finished and here.error is None
    assert failed.error == "manifest unknown" and not failed.finished


@pytest.mark.parametrize(
    "message", [{}, {"status": None}, layer("x", "Downloading", -1, -1), {"progressDetail": None}]
)
def test_pull_messages_without_sense(message: dict[str, Any]) -> None:
    pull = PullProgress()
    pull.feed(message)
    assert pull.total_bytes is None


@pytest.mark.parametrize(
    "status, said, kind",
    [
        (404, "No such image: x:latest", ImageMissing),
        (404, "manifest unknown: manifest unknown", ImageMissing),
        (400, "invalid reference format", ImageMissing),
        (404, "No such container: x", ContainerMissing),
        (409, 'Conflict. The container name "/x" is already in use by container "y".', NameTaken),
        (500, "driver failed programming connectivity: Bind for 127.0.0.1:1: port is already allocated",
         PortInUse),
        (500, "failed to bind host port for 127.0.0.1:8104: address already in use", PortInUse),
        (500, 'could not select device driver "" with capabilities: [[gpu]]', GpuMissing),
        (500, "nvidia-container-cli: initialization error: nvml error: driver not loaded", GpuMissing),
        (400, 'invalid mount config for type "bind": bind source path does not exist: /x', MountMissing),
        (409, "You cannot remove a running container", ContainerBusy),
        (500, "no space left on device", CreateFailed),
    ],
)  # fmt: skip
def test_error_by_docker_s_words(status: int, said: str, kind: type[DockerTrouble]) -> None:
    trouble = refusal(status, said, "x")
    assert type(trouble) is kind
    assert said.rstrip(".") in str(trouble)


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("2026-11-23T19:04:01.5Z", 1795460641.5),
        ("2026-11-23T19:04:01.123456789Z", 1795460641.123456),
        ("2026-11-23T20:04:01+01:00", 1795460641.0),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        (None, None),
    ],
)
def test_docker_times(text: str | None, seconds: float | None) -> None:
    assert docker_time(text) == seconds


def test_time_for_docker_s_filters_is_exact() -> None:
    assert unix_time("2026-11-23T19:04:01.000000009Z") == "1795460641.000000009"


def test_list_entry_with_little_in_it() -> None:
    one = listed_container({"Id": "f" * 64, "Names": None, "Ports": None, "Labels": None})
    assert (one.name, one.ports, one.host_ports, one.labels) == ("f" * 12, [], [], {})


def test_ports_as_docker_lists_them() -> None:
    ports = [
        {"PrivatePort": 8000, "Type": "tcp"},
        {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
    ]
    one = listed_container({"Id": "f" * 64, "Names": ["/x"], "Ports": ports})
    assert one.ports == ["0.0.0.0:8080->80/tcp", "8000/tcp", "[::]:8080->80/tcp"]
    assert one.host_ports == [8080]
