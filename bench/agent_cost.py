"""The agent with everything on, beside others that watch the same machine: CPU and memory.

    SPARKWEB_TEST_DOCKER_HOST=unix://… python -m bench.agent_cost [--seconds 30] [--json]

A whole house with a real Docker engine: 30 containers, four of them models whose engines are ready (the
stand-in), 8 GPUs (the stand-in for NVIDIA's library). CPU as a share of one core and memory as PSS of
the agent with its sampler, guardian and other children; then, on the same machine and while the house
still runs, of each peer that is installed (bench/peers.py), one after another.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import psutil

from bench.figures import show
from bench.peers import Peer, peers
from bench.sampler_cost import cpu_seconds, pss_bytes
from tests.support import nvml
from tests.support.images import BUSYBOX, STANDIN, images_build
from tests.support.stack import Stack

TARGET_CPU_PERCENT, TARGET_MB = 4.0, 150.0
TARGET_SHARES = {"netdata": 0.5, "glances": 0.1}
CONTAINERS, ENGINES = 30, 4
SETTLE_SECONDS = 10.0
AGENT = "agent with everything"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    host = os.environ["SPARKWEB_TEST_DOCKER_HOST"]
    images_build(host)
    gpus = {"LD_LIBRARY_PATH": str(nvml.build()), "NVML_STANDIN_PROFILE": "eight"}
    with (
        tempfile.TemporaryDirectory() as folder,
        Stack(Path(folder) / "house", docker_host=host, **gpus) as stack,
        boxes(host, CONTAINERS - ENGINES),
    ):
        models_start(stack)
        rows = measure(stack, Path(folder), options.seconds, {**os.environ, **gpus, "DOCKER_HOST": host})
    show(f"Watching 8 GPUs and {CONTAINERS} containers, {options.seconds:g} s each", rows, options.json)


@contextlib.contextmanager
def boxes(host: str, number: int) -> Iterator[None]:
    """So many containers that are not ours."""
    client = docker.DockerClient(base_url=host)
    running: list[Any] = []
    try:
        running.extend(client.containers.run(BUSYBOX, ["sleep", "86400"], detach=True) for _ in range(number))
        yield
    finally:
        for box in running:
            box.remove(force=True)
        client.close()


def models_start(stack: Stack) -> None:
    """Start four models and wait until they are ready."""
    stack.wait_online()
    for number in range(ENGINES):
        stack.import_standin(f"model-{number}", image=STANDIN, STANDIN_LOAD_SECONDS="0")
    for uid in [stack.launch_start(f"model-{number}") for number in range(ENGINES)]:
        stack.wait_state(uid, "ready", seconds=120)


def measure(stack: Stack, folder: Path, seconds: float, environment: dict[str, str]) -> list[dict[str, Any]]:
    time.sleep(SETTLE_SECONDS)
    ours = cost(stack.child("agent"), seconds)
    report = stack.get("/api/nodes/spark-1/snapshot/")["report"]
    seen = {"GPUs": len(report["gpus"]), "containers": len(report["containers"])}
    targets = {"target %": TARGET_CPU_PERCENT, "target MB": TARGET_MB}
    rows: list[dict[str, Any]] = [{"watching at 1 Hz": AGENT, **ours, **targets, **seen}]
    for peer in peers(folder):
        if isinstance(peer, str):
            rows.append({"watching at 1 Hz": f"{peer} (not installed)"})
            continue
        theirs = peer_cost(peer, seconds, environment)
        rows.append({
            "watching at 1 Hz": peer.name, **theirs,
            "ours, share of its CPU": ours["CPU, % of a core"] / max(0.001, theirs["CPU, % of a core"]),
            "target share": TARGET_SHARES.get(peer.name),
        })  # fmt: skip
    return rows


def peer_cost(peer: Peer, seconds: float, environment: dict[str, str]) -> dict[str, float]:
    """Start a peer, let it settle, measure it and end it."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen(peer.command, env=environment, stdin=quiet, stdout=quiet, stderr=quiet) as child:
        try:
            with peer.beside():
                time.sleep(SETTLE_SECONDS)
                found = cost(psutil.Process(child.pid), seconds)
            if child.poll() is not None:
                raise RuntimeError(f"{' '.join(peer.command[:3])} ended with {child.returncode}")
            return found
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                for member in psutil.Process(child.pid).children(recursive=True):
                    member.kill()
            child.kill()


def cost(process: psutil.Process, seconds: float) -> dict[str, float]:
    """CPU and memory of a process and its children over so many seconds."""
    began, before = time.monotonic(), cpu_seconds(process)
    time.sleep(seconds)
    spent, lasted = cpu_seconds(process) - before, time.monotonic() - began
    return {
        "CPU, % of a core": 100 * spent / lasted,
        "CPU ms a sample": 1000 * spent / lasted,
        "PSS, MB": pss_bytes(process) / 1e6,
        "processes": 1 + len(process.children(recursive=True)),
    }


if __name__ == "__main__":
    main()
