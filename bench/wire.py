"""One second of figures on the wire, four ways: bytes for each socket, and CPU to make it once.

    python -m bench.wire [--seconds 60] [--json]

The frames are those that sockets get, of a machine with 8 GPUs and 30 containers whose figures move. As
they are (JSON text, made once by control and sent unchanged to every socket) beside deltas (the fields
that changed since the second before), columns (figures without their names), and permessage-deflate with
its state kept for each socket, as WebSockets have it. The first row is the floor.

Deltas and columns are made once for all sockets; what is compressed with a socket's own state is
made again for each, so its time is multiplied by the sockets.
"""

from __future__ import annotations

import argparse
import random
import time
import zlib
from collections.abc import Callable
from typing import Any

import orjson

from bench.figures import show

SOCKETS = 500
MOVING_SHARE = 0.6
Encode = Callable[[dict[str, Any]], bytes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    show(f"A node's second on the wire, {SOCKETS} sockets", measure(options.seconds), options.json)


def measure(seconds: int) -> list[dict[str, Any]]:
    """Encode the same seconds each way."""
    frames = frames_make(seconds)
    ways: list[tuple[str, Encode, bool]] = [
        ("JSON, as it is", orjson.dumps, False),
        ("deltas", Deltas(), False),
        ("columns", columns, False),
        ("deflate, one state for each socket", Deflate(), True),
    ]
    rows = [_row(name, encode, each, frames) for name, encode, each in ways]
    for row in rows:
        row["bytes, share"] = row["bytes"] / rows[0]["bytes"]
        row["CPU, times"] = row["CPU ms a second, all sockets"] / rows[0]["CPU ms a second, all sockets"]
    return rows


def _row(name: str, encode: Encode, each: bool, frames: list[dict[str, Any]]) -> dict[str, Any]:
    began, size = time.process_time(), 0
    for frame in frames:
        size += len(encode(frame))
    spent = 1000 * (time.process_time() - began) / len(frames)
    return {
        "way": name,
        "bytes": size / len(frames),
        "CPU ms a second, all sockets": spent * (SOCKETS if each else 1),
    }


class Deltas:
    """What changed since the frame before, by path; lists of objects are compared place by place."""

    def __init__(self) -> None:
        self.last: Any = {}

    def __call__(self, frame: dict[str, Any]) -> bytes:
        changed = _changed(self.last, frame)
        self.last = frame
        return orjson.dumps(changed)


def _changed(old: Any, new: Any) -> Any:
    if isinstance(new, dict) and isinstance(old, dict):
        return {key: _changed(old.get(key), value) for key, value in new.items() if old.get(key) != value}
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        pairs = enumerate(zip(old, new, strict=True))
        return {str(place): _changed(was, now) for place, (was, now) in pairs if was != now}
    return new


def columns(frame: dict[str, Any]) -> bytes:
    """The figures in the order of their names, which a socket was told once; text is told with them."""
    values: list[Any] = []
    _values(frame, values)
    return orjson.dumps(values)


def _values(value: Any, into: list[Any]) -> None:
    if isinstance(value, dict):
        for part in value.values():
            _values(part, into)
    elif isinstance(value, list):
        for part in value:
            _values(part, into)
    else:
        into.append(value)


class Deflate:
    """One socket's permessage-deflate (RFC 7692) with its window kept from frame to frame."""

    def __init__(self) -> None:
        self._state = zlib.compressobj(6, zlib.DEFLATED, -15)

    def __call__(self, frame: dict[str, Any]) -> bytes:
        text = orjson.dumps(frame)
        return self._state.compress(text) + self._state.flush(zlib.Z_SYNC_FLUSH)


def frames_make(seconds: int) -> list[dict[str, Any]]:
    """Frames of a machine with 8 GPUs and 30 containers; six of ten figures move each second."""
    chooser = random.Random(4)
    figures = _first(chooser)
    frames = []
    for second in range(seconds):
        figures = _moved(figures, chooser)
        frames.append({
            "type": "snapshot", "node": "spark-1", "status": "online", "received_at": 1.76e9 + second,
            "seq": second, "report": figures,
        })  # fmt: skip
    return frames


def _first(chooser: random.Random) -> dict[str, Any]:
    host = ["cpu_percent", "memory_used_bytes", "memory_available_bytes", "swap_used_bytes", "uptime_seconds"]
    gpu = ["utilization_percent", "memory_used_bytes", "power_watts", "temperature_celsius", "clock_sm_mhz"]
    disk = ["used_bytes", "total_bytes", "read_bytes_per_second", "write_bytes_per_second"]
    link = ["receive_bytes_per_second", "transmit_bytes_per_second", "speed_mbits"]
    box = ["cpu_percent", "memory_bytes"]
    return {
        "host": _row_of(host, chooser)
        | {
            "disks": [{"mount": f"/data/{n}", "why": {}} | _row_of(disk, chooser) for n in range(4)],
            "networks": [{"name": f"enp{n}s0", "why": {}} | _row_of(link, chooser) for n in range(4)],
        },
        "gpus": [
            {"index": n, "uuid": f"GPU-{n:032x}", "name": "NVIDIA H200", "state": "ok", "why": {}}
            | _row_of(gpu, chooser)
            for n in range(8)
        ],
        "containers": [
            {"id": f"{n:064x}", "name": f"sparkweb-model-{n}", "image": "nvcr.io/nvidia/vllm:25.11-py3",
             "state": "running", "status": "Up 3 minutes", "ports": ["127.0.0.1:8104->8000/tcp"],
             "started_at": 1.0, "ours": True, "why": {}} | _row_of(box, chooser)
            for n in range(30)
        ],
    }  # fmt: skip


def _row_of(names: list[str], chooser: random.Random) -> dict[str, float]:
    return {name: round(chooser.uniform(1, 1e9), 1) for name in names}


def _moved(value: Any, chooser: random.Random) -> Any:
    """A second later: new objects, most of their fractional figures a little different."""
    if isinstance(value, dict):
        return {key: _moved(part, chooser) for key, part in value.items()}
    if isinstance(value, list):
        return [_moved(part, chooser) for part in value]
    if isinstance(value, float) and chooser.random() < MOVING_SHARE:
        return round(value * chooser.uniform(0.99, 1.01), 1)
    return value


if __name__ == "__main__":
    main()
