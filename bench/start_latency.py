"""From the start request to `docker create` arriving at the engine, image present; beside a bare
create over the same socket.

    SPARKWEB_TEST_DOCKER_HOST=unix://… python -m bench.start_latency [--rounds 20] [--json]
"""

from __future__ import annotations

import argparse
import os
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import docker

from bench.figures import percentile, show
from tests.support.images import STANDIN, images_build
from tests.support.stack import Stack, wait_for

TARGET_MS = 60


class CreateSpy(threading.Thread):
    """Passes bytes between a socket of its own and the engine's, and notes when a create goes through."""

    def __init__(self, path: Path, engine: str) -> None:
        super().__init__(daemon=True)
        self.engine = engine
        self.seen: list[float] = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(64)

    def run(self) -> None:
        while True:
            near, _ = self.listener.accept()
            far = socket.socket(socket.AF_UNIX)
            far.connect(self.engine)
            for source, target, watch in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._pump, args=(source, target, watch), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, watch: bool) -> None:
        try:
            while chunk := source.recv(65536):
                if watch and b"POST " in chunk and b"/containers/create" in chunk:
                    self.seen.append(time.perf_counter())
                target.sendall(chunk)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    host = os.environ["SPARKWEB_TEST_DOCKER_HOST"]
    images_build(host)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "docker.sock"
        spy = CreateSpy(path, host.removeprefix("unix://"))
        spy.start()
        with Stack(Path(folder) / "house", docker_host=f"unix://{path}") as stack:
            stack.wait_online()
            ours = [one_start(stack, spy, round_) for round_ in range(options.rounds)]
        bare = bare_creates(f"unix://{path}", spy, options.rounds)
    rows: list[dict[str, Any]] = [
        {"what": "bare create", "p50_ms": percentile(bare, 50), "p99_ms": percentile(bare, 99)},
        {
            "what": "start request to create",
            "p50_ms": percentile(ours, 50),
            "p99_ms": percentile(ours, 99),
            "target_p50_ms": TARGET_MS,
        },
    ]
    show("start_latency", rows, options.json)


def one_start(stack: Stack, spy: CreateSpy, round_: int) -> float:
    slug = f"standin-{round_}"
    stack.import_standin(slug, image=STANDIN, STANDIN_LOAD_SECONDS="0")
    before = len(spy.seen)
    began = time.perf_counter()
    uid = stack.launch_start(slug)
    wait_for(lambda: len(spy.seen) > before, "create reached the engine", every=0.001)
    took = (spy.seen[before] - began) * 1000
    stack.call("POST", f"/api/launches/{uid}/stop/")
    stack.wait_state(uid, "stopped", "failed")
    return took


def bare_creates(host: str, spy: CreateSpy, rounds: int) -> list[float]:
    client = docker.APIClient(base_url=host)
    times = []
    for _ in range(rounds):
        before, began = len(spy.seen), time.perf_counter()
        made = client.create_container(STANDIN, ["vllm"])
        times.append((spy.seen[before] - began) * 1000)
        client.remove_container(made["Id"], force=True)
    return times


if __name__ == "__main__":
    main()
