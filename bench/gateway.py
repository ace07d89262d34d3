"""What the gateway adds to a request, beside the engine asked directly and nginx before it, if installed.

    python -m bench.gateway [--streams 64] [--tokens 200] [--seconds 5] [--json]

A stub engine in a process of its own: streams of small tokens, and short whole answers. `manage.py web` as
it is, with key lookup, metering and ledger. CPU is that of the process in between alone; with several
streams at once each token is 10 ms after the last, so that nothing waits for the stub.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.figures import percentile, show
from tests.support.ports import free_port
from tests.support.web import WebProcess

TARGETS = {"first_1": 1.0, "first_many": 3.0, "token_us": 70.0, "short_ms": 0.4, "per_second": 1500.0}
ROWS = """
from django.conf import settings
from models_app.models import *
from metrics_app.models import Node
node, _ = Node.objects.get_or_create(name=settings.NODE_NAME)
definition = ModelDefinition.objects.create(slug="stub", name="Stub", model_id="org/stub", port={port})
launch = Launch.objects.create(definition=definition, definition_slug="stub", engine="vllm", node=node,
    node_name=node.name, state="ready")
attempt = LaunchAttempt.objects.create(launch=launch, number=1, generation=1)
LaunchMember.objects.create(attempt=attempt, node=node, port={port}, container_name="stub", image="stub")
"""
NGINX = """
worker_processes 1; daemon off; pid {folder}/pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 10000000;
client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
fastcgi_temp_path {folder}/f;
uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
upstream stub {{ server 127.0.0.1:{engine}; keepalive 128; keepalive_requests 10000000; }}
server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://stub; proxy_http_version 1.1;
proxy_set_header Connection ""; proxy_buffering off; }} }} }}
"""


@dataclass
class Way:
    """One way to the engine. `process` is what stands between, None for nothing."""

    name: str
    port: int
    process: psutil.Process | None
    key: str = ""

    def cpu(self) -> float:
        """Seconds of CPU that the process in between has taken, with its children."""
        if self.process is None:
            return 0.0
        every = [self.process, *self.process.children(recursive=True)]
        return sum(sum(one.cpu_times()[:2]) for one in every)


def _request(way: Way, body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {way.key}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


async def _stream(way: Way, tokens: int) -> float:
    """One stream on a connection of its own; milliseconds from the request to its first token."""
    reader, writer = await asyncio.open_connection("127.0.0.1", way.port)
    messages = [{"role": "user", "content": "hello"}]
    request = _request(way, {"model": "stub", "messages": messages, "stream": True, "max_tokens": tokens})
    begun = time.perf_counter()
    writer.write(request)
    first, seen = 0.0, b""
    while b"[DONE]" not in seen[-200:]:
        data = await reader.read(65536)
        assert data, seen[-300:]
        if not first and b"word" in seen + data:
            first = (time.perf_counter() - begun) * 1000
        seen = seen[-200:] + data if first else seen + data
    writer.close()
    return first


async def _streams(way: Way, count: int, tokens: int) -> tuple[list[float], float]:
    """`count` streams at once, begun a little apart; first-token times, and CPU seconds per token."""
    await _stream(way, 2)
    before = way.cpu()

    async def one(number: int) -> float:
        await asyncio.sleep(number * 0.005)
        return await _stream(way, tokens)

    firsts = await asyncio.gather(*(one(number) for number in range(count)))
    return list(firsts), (way.cpu() - before) / (count * tokens)


async def _short(way: Way, seconds: float, callers: int = 16) -> tuple[float, float]:
    """Whole answers on kept connections: requests a second, and CPU seconds each."""
    request = _request(way, {"model": "stub", "messages": []})
    until, done = time.perf_counter() + seconds, 0

    async def caller() -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", way.port)
        while time.perf_counter() < until:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert b" 200 " in head.split(b"\r\n")[0], head
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            done += 1
        writer.close()

    before = way.cpu()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return done / seconds, (way.cpu() - before) / done


async def measure(ways: list[Way], streams: int, tokens: int, seconds: float) -> list[dict[str, Any]]:
    """Each way in turn; what is added to direct is told beside it."""
    rows: list[dict[str, Any]] = []
    for way in ways:
        ones = [(await _streams(way, 1, 5))[0][0] for _ in range(40)]
        many, token = await _streams(way, streams, tokens)
        rate, short = await _short(way, seconds)
        rows.append(
            {
                "way": way.name,
                "first_ms": percentile(ones, 50),
                f"first_ms, {streams} at once": percentile(many, 50),
                "p99": percentile(many, 99),
                "CPU us a token": 1e6 * token if way.process else None,
                "short a second": rate,
                "CPU ms a short": 1000 * short if way.process else None,
            }
        )
    return rows


@contextlib.contextmanager
def stub() -> Iterator[int]:
    """The engine; its port."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.gateway_stub", str(port)])
    try:
        yield port
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def nginx(engine: int) -> Iterator[Way | None]:
    """nginx before the engine; None where it is not installed."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        print("nginx is not installed; left out", file=sys.stderr)
        yield None
        return
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        config = Path(folder) / "nginx.conf"
        config.write_text(NGINX.format(folder=folder, engine=engine, port=port))
        process = subprocess.Popen([program, "-c", str(config)])
        try:
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.01)
            yield Way("nginx", port, psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    web = WebProcess()
    try:
        with stub() as engine, nginx(engine) as before:
            web.start()
            web.manage("shell", "-c", ROWS.format(port=engine))
            assert web.process is not None
            ours = Way("SparkWeb", web.port, psutil.Process(web.process.pid), web.key("use"))
            ways = [Way("direct", engine, None), *([before] if before else []), ours]
            rows = asyncio.run(measure(ways, options.streams, options.tokens, options.seconds))
    finally:
        web.close()
    show("The gateway beside direct and nginx", rows, options.json)


if __name__ == "__main__":
    main()
