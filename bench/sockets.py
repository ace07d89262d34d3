"""Live frames under load: a real web process and Redis, frames published each second as control does.

    python -m bench.sockets [--sockets 200] [--nodes 4] [--seconds 20] [--json]

Latency is from just before a frame is handed to the channel layer until a browser's end has it. Sender and
receivers share this process, so one clock measures both, and this process's own work counts against
the result.
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
from tests.support.web import Browser, Publisher, WebProcess

TARGET_MS = 250
REPORT_GPUS = 1
REPORT_CONTAINERS = 12


class Count:
    """What the browsers have seen."""

    def __init__(self) -> None:
        self.milliseconds: list[float] = []
        self.received = 0


async def main_async(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    web = await asyncio.to_thread(_web_with_nodes, arguments.nodes)
    try:
        return await _run(web, arguments)
    finally:
        web.close()


def _web_with_nodes(nodes: int) -> WebProcess:
    web = WebProcess().start()
    for number in range(1, nodes + 1):
        web.manage("create_node", f"spark-{number}")
    streams = web.streams()
    for number in range(1, nodes + 1):
        for second in range(900):
            streams.append(f"live:spark-{number}", {"t": float(second), "v": _series()})
    return web


async def _run(web: WebProcess, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    cookie = await asyncio.to_thread(web.login)
    count, listening = Count(), asyncio.Semaphore(0)
    done = asyncio.Event()
    readers = [
        asyncio.create_task(_read(web, cookie, count, listening, done)) for _ in range(arguments.sockets)
    ]
    for _ in readers:
        await listening.acquire()
    before, cpu_before = web.rss_bytes, _cpu_seconds(web)
    memory = [before]
    async with web.publisher() as publisher:
        await _publish_second(publisher, arguments.nodes)  # the first may find the group empty
        await asyncio.sleep(2)
        count.milliseconds.clear()
        count.received = 0
        begun = time.monotonic()
        for second in range(arguments.seconds):
            await _publish_second(publisher, arguments.nodes)
            await asyncio.sleep(max(0.0, begun + second + 1 - time.monotonic()))
            memory.append(web.rss_bytes)
        await asyncio.sleep(2)
    seconds = time.monotonic() - begun
    done.set()
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    sent = arguments.sockets * arguments.nodes * arguments.seconds
    return [
        {
            "sockets": arguments.sockets,
            "nodes": arguments.nodes,
            "seconds": arguments.seconds,
            "frames": sent,
            "lost": sent - count.received,
            "p50_ms": percentile(count.milliseconds, 50),
            "p99_ms": percentile(count.milliseconds, 99),
            "target_p99_ms": TARGET_MS,
            "web_cpu_percent": 100 * (_cpu_seconds(web) - cpu_before) / seconds,
            "rss_mib_first": memory[0] / 2**20,
            "rss_mib_half": memory[len(memory) // 2] / 2**20,
            "rss_mib_last": memory[-1] / 2**20,
        }
    ]


async def _read(
    web: WebProcess, cookie: str, count: Count, listening: asyncio.Semaphore, done: asyncio.Event
) -> None:
    async with web.socket(cookie) as browser:
        await browser.until("history", seconds=60)
        listening.release()
        while not done.is_set():
            await _frame(browser, count)


async def _frame(browser: Browser, count: Count) -> None:
    text = await browser.connection.recv()
    arrived = time.monotonic()
    mark = text.find('"bench":')
    if mark >= 0:
        count.received += 1
        count.milliseconds.append(1000 * (arrived - float(text[mark + 8 : text.index(",", mark)])))


async def _publish_second(publisher: Publisher, nodes: int) -> None:
    """Publish one frame for each node, at once: the worst case."""
    await asyncio.gather(*(_publish_one(publisher, f"spark-{n}") for n in range(1, nodes + 1)))


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
    parser.add_argument("--sockets", type=int, default=200)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rows = runner.run(main_async(arguments))
    show("Live frames to many sockets", rows, arguments.json)


if __name__ == "__main__":
    main()
