"""Four engines as the agent meets them: HTTP servers that tell figures as vLLM does, in a process apart.

    python -m bench.engine_ports [--hang]

prints the ports as JSON and serves until it is ended. With `--hang` the first takes connections and
never answers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator

ENGINES = 4
BUCKETS = 300


async def serve(hang: bool) -> None:
    servers = [
        await asyncio.start_server(_silent if hang and not number else _answer, "127.0.0.1", 0)
        for number in range(ENGINES)
    ]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


async def _silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    while await reader.read(1024):
        pass


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        body = figures()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        writer.write((head + "Connection: close\r\n\r\n").encode() + body)
        await writer.drain()
    writer.close()


def figures() -> bytes:
    """Figures that move, among as many lines of histograms as vLLM writes."""
    label, tokens = '{model_name="model"}', time.monotonic() * 100
    lines = [
        f"vllm:num_requests_running{label} 3",
        f"vllm:num_requests_waiting{label} 0",
        f"vllm:kv_cache_usage_perc{label} 0.31",
        f"vllm:prompt_tokens_total{label} {tokens:.1f}",
        f"vllm:generation_tokens_total{label} {tokens:.1f}",
    ]
    lines += [
        f'vllm:e2e_request_latency_seconds_bucket{{le="{n / 10}",model_name="model"}} {n}.0'
        for n in range(BUCKETS)
    ]
    return ("\n".join(lines) + "\n").encode()


@contextlib.contextmanager
def engines(*, hang: bool = False) -> Iterator[list[int]]:
    """The ports of four engines that live as long as this."""
    command = [sys.executable, "-m", "bench.engine_ports", *(["--hang"] if hang else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        try:
            yield json.loads(child.stdout.readline())
        finally:
            child.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hang", action="store_true")
    asyncio.run(serve(parser.parse_args().hang))


if __name__ == "__main__":
    main()
