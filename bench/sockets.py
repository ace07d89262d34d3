"""Live frames under load: a real web process and Redis, frames published each second as control does.

    python -m bench.sockets [--sockets 500] [--nodes 16] [--seconds 30] [--stalled 20] [--json]

Delay is from just before a frame is handed to the channel layer until a browser's end has it; all nodes
publish at the same moment, which is the worst case. Sender and receivers share this process, so one clock
measures both, and this process's own work counts against the result. Three rows in one run: the floor
(a process that only writes what comes through a pipe to as many bare connections), SparkWeb, and SparkWeb
while some sockets have stopped reading, with the seconds until the kernel says that those were dropped.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import uvloop

from bench.figures import percentile, show
from bench.socket_readers import Count, Reader, bare, websocket
from sparkweb.socket_frames import framed
from tests.support.web import WebProcess

TARGET_MS = 150
REPORT_GPUS = 1
REPORT_CONTAINERS = 12
OPEN_AT_ONCE = 25
HISTORY_SECONDS = 900
ROOM = 64 * 1024  # of a stalled socket's kernel; more would hide for minutes that it does not read
DROP_SECONDS = 60.0  # given to stalled sockets after the last frame
FLOOR = (sys.executable, "-c", "from bench.socket_floor import main; main()")
Publish = Callable[[str, str], Awaitable[None]]


async def main_async(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    floor = await _floor(arguments)
    web = await asyncio.to_thread(_web_with_nodes, arguments.nodes)
    try:
        rows = [floor, *await _house(web, arguments)]
    finally:
        web.close()
    for row in rows:
        row["p99, times floor"] = row["p99_ms"] / floor["p99_ms"]
    return rows


def _web_with_nodes(nodes: int) -> WebProcess:
    web = WebProcess().start()
    for number in range(1, nodes + 1):
        web.manage("create_node", f"spark-{number}")
    streams = web.streams()
    for number in range(1, nodes + 1):
        for second in range(HISTORY_SECONDS):
            streams.append(f"live:spark-{number}", {"t": float(second), "v": _series()})
    return web


async def _floor(arguments: argparse.Namespace) -> dict[str, Any]:
    """The same frames from a process that does nothing else with them."""
    child = subprocess.Popen(FLOOR, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin and child.stdout
    pipe = child.stdin
    try:
        port, count = int(child.stdout.readline()), Count()
        readers = await _open(arguments.sockets, lambda: bare(port, count))

        async def publish(_key: str, text: str) -> None:
            frame = framed(text)
            pipe.write(len(frame).to_bytes(4, "big") + frame)
            pipe.flush()

        return await _measured("floor: bare writes", publish, count, readers, arguments)
    finally:
        pipe.close()
        child.wait()


async def _house(web: WebProcess, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    cookie = await asyncio.to_thread(web.login)
    count, still = Count(), Count()
    last = f"spark-{arguments.nodes}"
    readers = await _open(arguments.sockets, lambda: websocket(web.host, cookie, count, last))
    async with web.publisher() as publisher:

        async def publish(key: str, text: str) -> None:
            await publisher.publish(key, text)

        rows = [await _measured("SparkWeb", publish, count, readers, arguments, web)]
        if arguments.stalled:
            stalled = await _open(
                arguments.stalled, lambda: websocket(web.host, cookie, still, last, room=ROOM)
            )
            for one in stalled:
                one.transport.pause_reading()
            watch = asyncio.create_task(_dropped(stalled))
            what = f"SparkWeb, {arguments.stalled} stalled beside them"
            row = await _measured(what, publish, count, readers, arguments, web)
            rows.append(row | await _until_dropped(watch, publish, arguments))
    _end(readers)
    return rows


async def _measured(
    what: str, publish: Publish, count: Count, readers: list[Reader], arguments: argparse.Namespace,
    web: WebProcess | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Publish so many seconds; return delays, losses and what web used."""
    await _second(publish, arguments.nodes)  # the first may find the group empty
    await asyncio.sleep(2)
    count.begin()
    memory, cpu = [web.rss_bytes if web else 0], _cpu_seconds(web)
    begun = time.monotonic()
    for second in range(arguments.seconds):
        await _second(publish, arguments.nodes)
        await asyncio.sleep(max(0.0, begun + second + 1 - time.monotonic()))
        memory.append(web.rss_bytes if web else 0)
    seconds = time.monotonic() - begun
    cpu = _cpu_seconds(web) - cpu
    await asyncio.sleep(2)
    sent = len(readers) * arguments.nodes * arguments.seconds
    row: dict[str, Any] = {
        "who": what,
        "sockets": len(readers),
        "nodes": arguments.nodes,
        "frames": sent,
        "lost": sent - len(count.milliseconds),
        "MB a second": count.bytes / seconds / 1e6,
        "p50_ms": percentile(count.milliseconds, 50),
        "p99_ms": percentile(count.milliseconds, 99),
    }
    if web is None:
        _end(readers)
        return row
    return row | {
        "target_p99_ms": TARGET_MS,
        "web_cpu_percent": 100 * cpu / seconds,
        "rss_mib_first": memory[0] / 2**20,
        "rss_mib_half": memory[len(memory) // 2] / 2**20,
        "rss_mib_last": memory[-1] / 2**20,
    }


async def _open(number: int, opened: Callable[[], Awaitable[Reader]]) -> list[Reader]:
    turn = asyncio.Semaphore(OPEN_AT_ONCE)

    async def one() -> Reader:
        async with turn:
            return await opened()

    return list(await asyncio.gather(*(one() for _ in range(number))))


def _end(readers: list[Reader]) -> None:
    for reader in readers:
        reader.transport.abort()


async def _dropped(stalled: list[Reader]) -> list[float]:
    """Seconds until each was dropped, for as long as this is waited for."""
    begun, dropped = time.monotonic(), dict[int, float]()
    try:
        while len(dropped) < len(stalled):
            for number, one in enumerate(stalled):
                if number not in dropped and not one.connected:
                    dropped[number] = time.monotonic() - begun
            await asyncio.sleep(0.25)
    except asyncio.CancelledError:
        pass
    return sorted(dropped.values())


async def _until_dropped(
    watch: asyncio.Task[list[float]], publish: Publish, arguments: argparse.Namespace
) -> dict[str, Any]:
    until = time.monotonic() + DROP_SECONDS
    while not watch.done() and time.monotonic() < until:
        await _second(publish, arguments.nodes)
        await asyncio.sleep(1)
    watch.cancel()
    dropped = await watch
    first, last = (dropped[0], dropped[-1]) if dropped else (None, None)
    return {"dropped": len(dropped), "first after s": first, "last after s": last}


async def _second(publish: Publish, nodes: int) -> None:
    """Publish one frame for each node, at once: the worst case."""
    await asyncio.gather(*(_publish_one(publish, f"spark-{n}") for n in range(1, nodes + 1)))


async def _publish_one(publish: Publish, node: str) -> None:
    frame = {"bench": time.monotonic(), "type": "snapshot", "node": node, "status": "online", "seq": 1}
    frame |= {"received_at": time.time(), "report": _report()}
    await publish(f"node:{node}", orjson.dumps(frame).decode())


def _series() -> dict[str, float]:
    names = ["cpu", "memory_used", "memory_available", "load", "net_rx", "net_tx", "disk_read", "disk_write"]
    names += [f"gpu0_{name}" for name in ("util", "memory", "power", "temperature", "clock")]
    return {name: round(random.uniform(0, 1e9), 1) for name in names}


def _report() -> dict[str, Any]:
    """A report of the size that a machine with a GPU and a dozen containers sends, about 6 kB."""
    container = {"id": "c" * 64, "name": "vllm-qwen3-coder", "image": "nvcr.io/nvidia/vllm:25.11-py3",
                 "state": "running", "status": "Up 3 minutes", "ports": ["127.0.0.1:8104->8000/tcp"],
                 "started_at": 1.0, "cpu_percent": 1.5, "memory_bytes": 123456789, "ours": True,
                 "why": {}}  # fmt: skip
    return {
        "host": _series(),
        "gpus": [_series()] * REPORT_GPUS,
        "containers": [container] * REPORT_CONTAINERS,
    }


def _cpu_seconds(web: WebProcess | None) -> float:
    if web is None or web.process is None:
        return 0.0
    fields = Path(f"/proc/{web.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=500)
    parser.add_argument("--nodes", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--stalled", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rows = runner.run(main_async(arguments))
    show("Live frames to many sockets", rows, arguments.json)


if __name__ == "__main__":
    main()
