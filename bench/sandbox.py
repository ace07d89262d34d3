"""Tools in the sandbox beside other ways to isolate one print(1), in one run on the real engine.

    SPARKWEB_TEST_DOCKER_HOST=unix://… python -m bench.sandbox [--rounds 40] [--only NAME…] [--json]

latency    milliseconds for print(1): bare Python, bubblewrap, docker exec, create-start-wait-remove
           with the same limits, llm-sandbox's pool (installed for this, into a folder that goes), our node
           from the nudge to the end on its stream, and the whole way through the API, audit included
data       the first result of `import numpy, pandas` in a container that waited, beside bare print(1)
burst      16 runs at once on a pool of 16, by the node
rate       runs a second over some seconds, four at a time: ours, create-start-wait-remove
flood      1 GB of output: what the agent's memory grows by
idle       PSS of what waits, and CPU of pools, shims and agent while nothing happens
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import psutil
import redis

from bench.figures import percentile, show
from bench.sampler_cost import pss_bytes
from sandbox_app.job import Policy
from sandbox_app.node.limits import order_make
from sparkweb.adapters.docker_sandbox import SandboxEngine, SandboxOrder, create_config
from sparkweb.streams import Entry, Streams
from tests.support.redis import RedisServer
from tests.support.sandbox_image import sandbox_image
from tests.support.sandbox_node import SandboxNode
from tests.support.stack import Stack, wait_for

PRINT = ["python3", "-c", "print(1)"]
LLM_SANDBOX = "llm-sandbox[docker]==0.3.46"
MIB = 2**20


def timed(work: Callable[[], Any], rounds: int) -> list[float]:
    """Milliseconds of each round, after one that does not count."""
    work()
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1000)
    return took


def row(name: str, took: list[float], **more: Any) -> dict[str, Any]:
    return {
        "way": name,
        "p50_ms": round(percentile(took, 50), 1),
        "p95_ms": round(percentile(took, 95), 1),
        "rounds": len(took),
        **more,
    }


# ---- the others ----


def host(rounds: int) -> list[float]:
    return timed(lambda: subprocess.run(PRINT, check=True, stdout=subprocess.DEVNULL), rounds)


def bubblewrap(rounds: int) -> list[float]:
    command = ["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--tmpfs", "/tmp",
               "--proc", "/proc", "--dev", "/dev", *PRINT]  # fmt: skip
    return timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), rounds)


def docker_exec(api: docker.APIClient, image: str, rounds: int) -> list[float]:
    held = api.create_container(image, ["sleep", "3600"])["Id"]
    api.start(held)

    def work() -> None:
        one = api.exec_create(held, PRINT)["Id"]
        assert api.exec_start(one) == b"1\n"

    try:
        return timed(work, rounds)
    finally:
        api.remove_container(held, force=True)


def order_plain(image: str, folder: Path) -> SandboxOrder:
    """The same limits as ours, for a container that runs one program and ends."""
    name = f"bench-{os.urandom(6).hex()}"
    return order_make(Policy(image), name=name, labels={}, inside=folder, tool=folder)


def cold(engine: SandboxEngine, api: docker.APIClient, image: str, folder: Path) -> None:
    """Create, start, wait, read, remove: how most do it."""
    config = create_config(order_plain(image, folder))
    config.update(Entrypoint=[PRINT[0]], Cmd=PRINT[1:], OpenStdin=False, AttachStdin=False)
    config["HostConfig"]["LogConfig"] = {"Type": "json-file", "Config": {}}
    held = api.create_container_from_config(config)["Id"]
    api.start(held)
    assert api.wait(held)["StatusCode"] == 0
    assert api.logs(held) == b"1\n"
    api.remove_container(held, force=True)


def llm_image(docker_host: str, image: str) -> str:
    """The same image as llm-sandbox wants it: something to do, and its interpreter in its own place."""
    api = docker.APIClient(base_url=docker_host, version="auto", timeout=120)
    place = "/sandbox/.sandbox-venv/bin"
    made = api.create_container(
        image, ["sh", "-c", f"mkdir -p {place}; ln -s /usr/local/bin/python3 {place}/python"]
    )
    api.start(made)
    api.wait(made)
    api.commit(made, "sparkweb-test/llm-sandbox", "latest", changes='CMD ["sleep", "infinity"]')
    api.remove_container(made, force=True)
    return "sparkweb-test/llm-sandbox:latest"


def llm_sandbox(docker_host: str, image: str, rounds: int) -> list[float]:
    folder = Path(tempfile.mkdtemp(prefix="bench-llm-"))
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        python = folder / "bin" / "python"
        install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", LLM_SANDBOX]
        subprocess.run(install, check=True, capture_output=True)
        script = str(Path(__file__).with_name("llm_sandbox_pool.py"))
        command = [str(python), script, docker_host, llm_image(docker_host, image), str(rounds)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        return [float(line) for line in done.stdout.splitlines() if line.replace(".", "").isdigit()]
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return []
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ---- ours ----


class Ours:
    """One node over a real Redis and the real engine."""

    def __init__(self, docker_host: str, folder: Path, **settings: Any) -> None:
        self.redis = RedisServer()
        self.redis.start()
        self.node = SandboxNode(docker_host, folder, os.urandom(4).hex(), **settings)
        self.streams = Streams(self.redis.url)
        self.node.sandbox._streams = self.streams

    def close(self) -> None:
        self.node.close()
        self.redis.stop()

    def call(self, code: str = "print(1)", **fields: Any) -> dict[str, Any]:
        """Send a job and read its stream to the end."""
        job = self.node.send(self.node.job(code, **fields))
        name, after = f"tool:spark-1:{job.run}", "0"
        while True:
            for entry in self.streams.read({name: after}, block_seconds=30):
                if isinstance(entry, Entry):
                    after = entry.offset
                    if entry.data["kind"] == "end":
                        ending: dict[str, Any] = entry.data["ending"]
                        assert ending["outcome"] == "ok", ending
                        return ending

    def wait_ready(self, count: int) -> None:
        wait_for(
            lambda: sum(pool["ready"] for pool in self.node.sandbox.section()["pools"]) >= count, "full", 300
        )


@contextmanager
def ours(docker_host: str, **settings: Any) -> Iterator[Ours]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        made = Ours(docker_host, Path(folder), **settings)
        try:
            yield made
        finally:
            made.close()


def waited(node: Ours, rounds: int, pool: int, **fields: Any) -> list[float]:
    """Calls one after the other, each once its pool is full again: the pause is not counted."""
    took = []
    node.call(**fields)
    for _ in range(rounds):
        node.wait_ready(pool)
        began = time.perf_counter()
        node.call(**fields)
        took.append((time.perf_counter() - began) * 1000)
    return took


def session_calls(node: Ours, rounds: int) -> list[float]:
    from tests.support.sandbox_node import session_job

    session = session_job()
    return timed(lambda: node.call(session=session), rounds)


def latency(docker_host: str, image: str, rounds: int, as_json: bool) -> None:
    engine, api = (
        SandboxEngine(docker_host),
        docker.APIClient(base_url=docker_host, version="auto", timeout=120),
    )
    folder = Path(tempfile.mkdtemp())
    bare = host(rounds)
    rows = [row("host python3 -c", bare)]
    if shutil.which("bwrap"):
        rows.append(row("bubblewrap", bubblewrap(rounds)))
    rows.append(row("docker exec", docker_exec(api, image, rounds)))
    rows.append(row("create-start-wait-remove", timed(lambda: cold(engine, api, image, folder), rounds // 2)))
    rows.append(row("llm-sandbox pool", llm_sandbox(docker_host, image, rounds // 2)))
    with ours(docker_host, pool=2) as node:
        rows.append(row("node, warm", waited(node, rounds, 2)))
        rows.append(row("node, session's next call", session_calls(node, rounds)))
    rows += through_api(docker_host, image, rounds)
    show("print(1), one after the other", rows, as_json)


def through_api(docker_host: str, image: str, rounds: int) -> list[dict[str, Any]]:
    """The whole product: `up`, an API key, code_execution."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        stack = Stack(Path(folder), docker_host=docker_host, SPARKWEB_SANDBOX_IMAGE=image)
        with stack:
            stack.wait_online()

            redis_client = redis.Redis(unix_socket_path=str(Path(folder) / "data" / "run" / "redis.sock"))

            def full() -> bool:
                """Whether the newest report shows a full pool of code_execution."""
                snapshot = json.loads(redis_client.get("sparkweb:snapshot:spark-1") or "{}")  # type: ignore[arg-type]
                section = (snapshot.get("report") or {}).get("sandbox") or {}
                ours = [pool for pool in section.get("pools") or [] if pool["tool"] == "code_execution"]
                return any(pool["ready"] >= pool["wanted"] > 0 for pool in ours)

            call = {"args": {"code": "print(1)"}}

            def work() -> None:
                status, answer = stack.call("POST", "/api/execute/code_execution", call)
                assert status == 200 and answer["output"].strip() == "1", (status, answer)

            wait_for(
                lambda: stack.call("POST", "/api/execute/code_execution", call)[0] == 200, "a first run", 120
            )
            took = []
            for _ in range(rounds):
                wait_for(full, "the pool is full", 120)
                began = time.perf_counter()
                work()
                took.append((time.perf_counter() - began) * 1000)
            return [row("through the API, warm", took)]


def data(docker_host: str, image: str, rounds: int, as_json: bool) -> None:
    code = "import numpy, pandas; print(pandas.Series(numpy.arange(3)).sum())"
    bare = host(rounds)
    with ours(docker_host, data_pool=2) as node:
        took = waited(node, rounds // 2, 2, code=code, flavour="data", memory_bytes=512 * MIB)
    ratio = round(percentile(took, 50) / percentile(bare, 50), 2)
    show(
        "first result of numpy and pandas",
        [row("host print(1)", bare), row("ours", took, times_bare=ratio)],
        as_json,
    )


def burst(docker_host: str, image: str, rounds: int, as_json: bool) -> None:
    took: list[float] = []

    def one(node: Ours) -> float:
        began = time.perf_counter()
        node.call()
        return (time.perf_counter() - began) * 1000

    with ours(docker_host, pool=16) as node:
        node.call()
        for _ in range(max(2, rounds // 10)):
            node.wait_ready(16)
            with ThreadPoolExecutor(16) as threads:
                took += list(threads.map(one, [node] * 16))
    show("burst of 16 on a pool of 16", [row("node", took, p99_ms=round(percentile(took, 99), 1))], as_json)


def rate(docker_host: str, image: str, rounds: int, as_json: bool) -> None:
    seconds = 20.0
    engine, api = (
        SandboxEngine(docker_host),
        docker.APIClient(base_url=docker_host, version="auto", timeout=120),
    )
    folder = Path(tempfile.mkdtemp())

    def through(work: Callable[[], Any]) -> float:
        until, count, lock = time.perf_counter() + seconds, 0, threading.Lock()

        def loop() -> None:
            nonlocal count
            while time.perf_counter() < until:
                work()
                with lock:
                    count += 1

        threads = [threading.Thread(target=loop) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return round(count / seconds, 2)

    theirs = through(lambda: cold(engine, api, image, folder))
    with ours(docker_host, pool=4) as node:
        node.call()
        node.wait_ready(4)
        mine = through(node.call)
    rows = [
        {"way": "create-start-wait-remove", "runs_per_second": theirs},
        {"way": "node, single use", "runs_per_second": mine, "times": round(mine / theirs, 2)},
    ]
    show("sustained, four at a time", rows, as_json)


def flood(docker_host: str, image: str, rounds: int, as_json: bool) -> None:
    process = psutil.Process()
    peak = 0
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.02):
            peak = max(peak, process.memory_info().rss)

    with ours(docker_host, pool=0) as node:
        node.call()
        before = process.memory_info().rss
        watcher = threading.Thread(target=watch)
        watcher.start()
        began = time.perf_counter()
        code = "import os\nfor _ in range(16384): os.write(1, b'x' * 65535 + b'\\n')"
        ending = node.call(code, output_bytes=2 << 30, timeout_seconds=600, cpu_seconds=600)
        seconds = time.perf_counter() - began
        over.set()
        watcher.join()
    figures = {
        "output_mib": ending["stdout_bytes"] // MIB,
        "grown_mib": round((peak - before) / MIB, 1),
        "mib_per_second": round(ending["stdout_bytes"] / MIB / seconds),
    }
    show("1 GB of output", [figures], as_json)


def idle(docker_host: str, image: str, rounds: int, as_json: bool) -> None:
    seconds = 20.0
    with ours(docker_host, pool=4, data_pool=2) as node:
        node.call()
        node.wait_ready(4)
        node.call(flavour="data", memory_bytes=512 * MIB)
        node.wait_ready(6)
        containers = {one.id: one for one in node.node.sandbox._pools.containers()}
        rows = []
        for flavour, count in (("plain", 4), ("data", 2)):
            ids = [id_ for id_, one in containers.items() if bool(one.own["imported"]) == (flavour == "data")]
            sizes = [container_pss(containers[id_].pid or 0) for id_ in ids]
            figures = {"waiting": flavour, "count": count, "pss_mib": round(sum(sizes) / len(sizes) / MIB, 1)}
            rows.append(figures)
        watched = [psutil.Process(one.pid) for one in containers.values() if one.pid]
        watched += [child for process in list(watched) for child in process.children(recursive=True)]
        shims = [process.parent() for process in watched if process.parent()]
        everybody = {process.pid: process for process in [*watched, *shims, psutil.Process()] if process}
        before = {pid: sum(process.cpu_times()[:2]) for pid, process in everybody.items()}
        time.sleep(seconds)
        used = sum(sum(process.cpu_times()[:2]) - before[pid] for pid, process in everybody.items())
        rows.append({"waiting": "all of it", "count": 6, "cpu_percent": round(used / seconds * 100, 2)})
    show("idle pools", rows, as_json)


def container_pss(pid: int) -> int:
    """PSS of a container's processes together."""
    return pss_bytes(psutil.Process(pid))


PARTS = {"latency": latency, "data": data, "burst": burst, "rate": rate, "flood": flood, "idle": idle}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    docker_host = os.environ["SPARKWEB_TEST_DOCKER_HOST"]
    image = sandbox_image(docker_host)
    for name in arguments.only:
        PARTS[name](docker_host, image, arguments.rounds, arguments.json)


if __name__ == "__main__":
    main()
