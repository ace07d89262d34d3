"""Live frames under load: a real web process and Redis, frames published each second as control does.

    python -m bench.sockets [--sockets 500] [--nodes 16] [--stalled 20] [--seconds 20] [--at-once] [--json]

Latency is from just before a frame is handed to the channel layer until a browser's end has it. Sender and
receivers share this process, so one clock measures both, and this process's own work counts against
the result. Three runs of `--seconds`, one after another: one socket (the floor), all of them, and all
of them beside `--stalled` ones that read nothing, until the hub cuts those off.

Nodes send at moments of their own, as agents do; `--at-once` lets all of them send at the same moment.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from pathlib import Path
from typing import Any

import uvloop

from bench.figures import percentile, show
from bench.socket_reader import Count, Reader, reader_open
from tests.support.web import Publisher, WebProcess

TARGET_MS = 150
REPORT_GPUS = 1
REPORT_CONTAINERS = 12
OPEN_AT_ONCE = 20
LATE_SECONDS = 10.0
# Of the greeting alone, which is not measured: a whole one is a megabyte and a half for each socket.
HISTORY_SECONDS = 60
NODES = """
from metrics_app.models import Node
for number in range(1, {nodes} + 1):
    Node.objects.get_or_create(name=f"spark-{{number}}")
"""


async def main_async(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    web = await asyncio.to_thread(_web_with_nodes, arguments.nodes)
    try:
        return await _run(web, arguments)
    finally:
        web.close()


def _web_with_nodes(nodes: int) -> WebProcess:
    web = WebProcess().start()
    web.manage("shell", "-c", NODES.format(nodes=nodes))
    streams = web.streams()
    for number in range(1, nodes + 1):
        for second in range(HISTORY_SECONDS):
            streams.append(f"live:spark-{number}", {"t": float(second), "v": _series()})
    return web


async def _run(web: WebProcess, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    cookie = await asyncio.to_thread(web.login)
    count, stuck_count = Count(), Count()
    rows = []
    async with web.publisher() as publisher:
        readers = await _open(web, cookie, 1, count)
        await _publish(publisher, arguments.nodes, 2, at_once=True)  # the first may find the group empty
        rows.append(await _measure("one socket", web, publisher, readers, count, arguments))
        readers += await _open(web, cookie, arguments.sockets - 1, count)
        rows.append(await _measure("all", web, publisher, readers, count, arguments))
        stalled = await _open(web, cookie, arguments.stalled, stuck_count, small=True)
        for reader in stalled:
            assert reader.transport
            reader.transport.pause_reading()
        what = f"all, beside {arguments.stalled} stalled"
        rows.append(await _measure(what, web, publisher, readers, count, arguments))
        rows[-1]["p99, times without stalled"] = rows[-1]["p99_ms"] / rows[-2]["p99_ms"]
        for row in rows[1:]:
            row["p99, times one socket"] = row["p99_ms"] / rows[0]["p99_ms"]
            row["target_p99_ms"] = TARGET_MS
    return rows


async def _open(
    web: WebProcess, cookie: str, number: int, count: Count, *, small: bool = False
) -> list[Reader]:
    gate = asyncio.Semaphore(OPEN_AT_ONCE)

    async def one() -> Reader:
        async with gate:
            return await reader_open("127.0.0.1", web.port, cookie, count, small=small)

    return list(await asyncio.gather(*(one() for _ in range(number))))


async def _measure(
    what: str,
    web: WebProcess,
    publisher: Publisher,
    readers: list[Reader],
    count: Count,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Publish for so many seconds, wait for the last frames, and return a row."""
    await asyncio.sleep(2)
    count.clear()
    begun, before = time.monotonic(), _cpu_seconds(web)
    await _publish(publisher, arguments.nodes, arguments.seconds, at_once=arguments.at_once)
    sent = len(readers) * arguments.nodes * arguments.seconds
    until = time.monotonic() + LATE_SECONDS
    while len(count.milliseconds) < sent and time.monotonic() < until:
        await asyncio.sleep(0.1)
    seconds = time.monotonic() - begun
    return {
        "sockets": what,
        "number": len(readers),
        "nodes": arguments.nodes,
        "seconds": arguments.seconds,
        "frames": sent,
        "lost": sent - len(count.milliseconds),
        "cut off": sum(reader.closed.is_set() for reader in readers),
        "p50_ms": percentile(count.milliseconds, 50),
        "p99_ms": percentile(count.milliseconds, 99),
        "web_cpu_percent": 100 * (_cpu_seconds(web) - before) / seconds,
        "rss_mib": web.rss_bytes / 2**20,
    }


async def _publish(publisher: Publisher, nodes: int, seconds: int, *, at_once: bool) -> None:
    """Publish a frame of each node each second, spread over the second or all at its start."""
    begun, tasks = time.monotonic(), set()
    for second in range(seconds):
        for number in range(nodes):
            due = begun + second + (0 if at_once else number / nodes)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(_publish_one(publisher, f"spark-{number + 1}"))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    await asyncio.sleep(max(0.0, begun + seconds - time.monotonic()))
    await asyncio.gather(*tasks)


async def _publish_one(publisher: Publisher, node: str) -> None:
    frame = {"bench": time.monotonic(), "type": "snapshot", "node": node, "status": "online", "seq": 1}
    await publisher.publish(f"node:{node}", {**frame, "received_at": time.time(), "report": _report()})


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


def _cpu_seconds(web: WebProcess) -> float:
    assert web.process
    fields = Path(f"/proc/{web.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=500)
    parser.add_argument("--nodes", type=int, default=16)
    parser.add_argument("--stalled", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--at-once", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rows = runner.run(main_async(arguments))
    show("Live frames to many sockets", rows, arguments.json)


if __name__ == "__main__":
    main()
