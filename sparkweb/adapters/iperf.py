"""iperf3 as a program of the node: one server for one client, or one client; always within a bound.

Source: iperf3(1); its `-J` output of 3.12 and 3.16, which ends with status 0 also where `error` is set.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from typing import Any

import orjson

OUTPUT_LIMIT_BYTES = 4 * 2**20
CONNECT_MILLISECONDS = 3000
LOOK_EVERY_SECONDS = 0.2


class IperfMissing(Exception):
    """There is no iperf3 on this node."""


def server_run(address: str, port: int, limit_seconds: int, stop: threading.Event) -> dict[str, Any]:
    """Serve one client at an address and wait for its end; iperf3's own JSON.

    `{"error": "over"}` when nobody came within `limit_seconds`, or until `stop`. Raises IperfMissing.
    """
    return _run(["-s", "-1", "-B", address, "-p", str(port), "-J"], limit_seconds, stop)


def client_run(
    source: str, target: str, port: int, *, streams: int, seconds: int, limit_seconds: int
) -> dict[str, Any]:
    """Send to a server from one address of ours; iperf3's own JSON, `{"error": "over"}` past the limit.

    Raises IperfMissing.
    """
    words = ["-c", target, "-B", source, "-p", str(port), "-P", str(streams), "-t", str(seconds), "-J"]
    return _run([*words, "--connect-timeout", str(CONNECT_MILLISECONDS)], limit_seconds)


def _run(words: list[str], limit_seconds: int, stop: threading.Event | None = None) -> dict[str, Any]:
    """Run iperf3 in a process group of its own; timeout(1) bounds it even where this agent dies."""
    program = shutil.which("iperf3")
    if program is None:
        raise IperfMissing
    with subprocess.Popen(
        ["timeout", "-k", "1", str(limit_seconds), program, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            said = _wait(process, limit_seconds + 3, stop)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return _read(said, process.returncode)


def _wait(process: subprocess.Popen[bytes], seconds: float, stop: threading.Event | None) -> bytes:
    """What it wrote until its end; nothing where it was stopped or took too long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not (stop and stop.is_set()):
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=LOOK_EVERY_SECONDS)[0]
    return b""


def _read(said: bytes, status: int) -> dict[str, Any]:
    """What iperf3 wrote; timeout(1) ends with 124, or with 137 after SIGKILL."""
    if status in (124, 137, -signal.SIGKILL):
        return {"error": "over"}
    try:
        told = orjson.loads(said[:OUTPUT_LIMIT_BYTES])
    except orjson.JSONDecodeError:
        words = said[:300].decode(errors="replace").strip()
        return {"error": words or f"iperf3 ended with {status}"}
    return told if isinstance(told, dict) else {"error": "iperf3 wrote no object"}
