"""What a call of a tool costs through the API, beside the same program run bare on this machine.

    python -m bench.tool_call [--calls 60] [--burst 16] [--seconds 15] [--json]

`manage.py up` with its agent on a real engine; one call after the other, each in a container of its own that
waited for it, in turn with `python3 -c`. Then a burst at once, and as many as go in a while from four
callers.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bench.figures import percentile, show
from tests.support.sandbox_image import sandbox_image
from tests.support.stack import Stack, wait_for

PATH = "/api/execute/code_execution"
BODY = json.dumps({"args": {"code": "print(1)"}})
WARM_UP_CALLS = 10
CALLERS = 4
ADDED_MS_MOST = 15.0
BURST_MS_MOST = 150.0


class Caller:
    """One client with a connection that stays open."""

    def __init__(self, stack: Stack, session: str = "") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=120)
        self.headers = {"Authorization": f"Bearer {stack.key}", "Content-Type": "application/json"}
        if session:
            self.headers["X-Session-Id"] = session

    def call(self) -> float:
        """Run the program once; milliseconds until its output was here."""
        begun = time.perf_counter()
        self.connection.request("POST", PATH, BODY, self.headers)
        found = json.loads(self.connection.getresponse().read())
        took = (time.perf_counter() - begun) * 1000
        assert found.get("output") == "1\n", found
        return took


def bare() -> float:
    """The program by the interpreter of this machine; milliseconds."""
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-I", "-c", "print(1)"], capture_output=True, check=True)
    took = (time.perf_counter() - begun) * 1000
    assert done.stdout == b"1\n"
    return took


def one_by_one(stack: Stack, calls: int, session: str = "") -> tuple[list[float], list[float]]:
    """Times of calls and of bare runs, taken in turn so that both meet the same machine."""
    caller = Caller(stack, session)
    for _ in range(WARM_UP_CALLS):
        caller.call()
    through, without = [], []
    for _ in range(calls):
        if not session:
            pool_full(stack)
        through.append(caller.call())
        without.append(bare())
    return through, without


def burst(stack: Stack, size: int) -> list[float]:
    """Times of calls that are made at the same moment, on a pool as large."""
    gate = threading.Barrier(size)
    callers = [Caller(stack) for _ in range(size)]

    def one(caller: Caller) -> float:
        gate.wait()
        return caller.call()

    times: list[float] = []
    with concurrent.futures.ThreadPoolExecutor(size) as pool:
        for _ in range(5):
            pool_full(stack)
            times += pool.map(one, callers)
    return times


def sustained(stack: Stack, seconds: float) -> tuple[int, float]:
    """How many calls four callers get through, one after the other each, and in how many seconds."""
    deadline = time.perf_counter() + seconds
    begun = time.perf_counter()

    def work(_: int) -> int:
        caller, count = Caller(stack), 0
        while time.perf_counter() < deadline:
            caller.call()
            count += 1
        return count

    with concurrent.futures.ThreadPoolExecutor(CALLERS) as pool:
        count = sum(pool.map(work, range(CALLERS)))
    return count, time.perf_counter() - begun


def pool_full(stack: Stack) -> None:
    """Wait until as many containers wait as should, for the tool that is called."""

    def full() -> bool:
        snapshot = stack.get("/api/nodes/spark-1/snapshot")["report"] or {}
        pools = (snapshot.get("sandbox") or {}).get("pools") or []
        mine = [pool for pool in pools if pool["tool"] == "code_execution"]
        return bool(mine) and all(pool["ready"] >= pool["wanted"] for pool in mine)

    wait_for(full, "the pool is full", 300, every=0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=60)
    parser.add_argument("--burst", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    docker_host = os.environ.get("SPARKWEB_TEST_DOCKER_HOST") or os.environ["DOCKER_HOST"]
    settings = {
        "SPARKWEB_SANDBOX_IMAGE": sandbox_image(docker_host),
        "SPARKWEB_SANDBOX_RESERVE_MB": "0",
        "SPARKWEB_API_RATE": "1000000/min",
        "SPARKWEB_SANDBOX_USER_RUNS": "64",
        "SPARKWEB_SANDBOX_NODE_RUNS": "32",
        "SPARKWEB_SANDBOX_POOL": str(options.burst),
        "SPARKWEB_SANDBOX_DATA_POOL": str(options.burst),
    }
    rows: list[dict[str, Any]] = []
    folder = Path(tempfile.mkdtemp(prefix="tool-call-"))
    with Stack(folder, docker_host=docker_host, **settings) as stack:
        stack.wait_online()
        assert stack.call("PATCH", "/api/tools/code_execution", {"parallel": 64})[0] == 200
        wait_for(lambda: stack.call("POST", PATH, json.loads(BODY))[0] == 200, "the image is seen", every=0.5)
        through, without = one_by_one(stack, options.calls)
        rows.append(row("bare python3 -c", without))
        rows.append(row("through the API, single-use", through, without))
        rows[-1]["target_ms"] = ADDED_MS_MOST
        rows.append(row(f"burst of {options.burst}", burst(stack, options.burst)))
        rows[-1]["target_ms"] = BURST_MS_MOST
        count, took = sustained(stack, options.seconds)
        rows.append({"what": f"{CALLERS} callers", "calls": count, "a second": count / took})
        status, session = stack.call("POST", "/api/sessions", {})
        if status in (200, 201):
            uid = session.get("session_id") or session.get("uid")
            through, without = one_by_one(stack, options.calls, uid)
            rows.append(row("in a session", through, without))
            stack.call("DELETE", f"/api/sessions/{uid}")
            wait_for(lambda: stack.get(f"/api/sessions/{uid}")["state"] == "ended", "the session is gone")
    shutil.rmtree(folder, ignore_errors=True)
    show("a call of a tool", rows, options.json)


def row(what: str, times: list[float], floor: list[float] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "what": what,
        "calls": len(times),
        "p50_ms": percentile(times, 50),
        "p99_ms": percentile(times, 99),
    }
    if floor is not None:
        found["added_p50_ms"] = percentile(times, 50) - percentile(floor, 50)
    return found


if __name__ == "__main__":
    main()
