"""What a node's agent costs with everything on, beside netdata and glances that watch the same machine.

    SPARKWEB_TEST_DOCKER_HOST=unix://… python -m bench.agent_cost [--seconds 60] [--json]

The agent of a running house: 8 GPUs (stand-in for NVIDIA's library), 30 containers on a real Docker engine,
four of them engines that tell figures, with history, flight recorder, memory guardian and kernel log on.
Its share of one core and its PSS, with the sampler and the guardian. At the same time and once a second
too, as children of their own:

- netdata (Debian package `netdata-core`), with a private configuration that leaves on only what the agent
  does as well: /proc, disks and control groups; database in memory, no web server, no health, no machine
  learning. It reads no GPU, no engine, and asks no Docker.
- glances (PyPI), without a screen. It reads no containers unless Docker's library lies beside it.

Either is left out, and said to be, where it is not in PATH: `apt-get install netdata-core`,
`pip install glances`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import psutil

from bench.figures import show
from bench.sampler_cost import cpu_seconds, pss_bytes
from tests.support import nvml
from tests.support.images import BUSYBOX, STANDIN, images_build
from tests.support.stack import Stack

TARGET_PERCENT, TARGET_MB = 4.0, 150.0
ENGINES, CONTAINERS = 4, 30
SETTLE_SECONDS = 20.0
NETDATA_CONFIG = """
[global]
    update every = 1
    run as user = {user}
[directories]
    config = {folder}
    stock config = {folder}
    cache = {folder}
    lib = {folder}
    log = {folder}
    home = {folder}
    plugins = {folder}
    web = {folder}
[db]
    mode = ram
    update every = 1
    retention = 3600
[logs]
    debug = none
    error = none
    access = none
[web]
    mode = none
[health]
    enabled = no
[ml]
    enabled = no
[statsd]
    enabled = no
[plugins]
    enable running new plugins = no
    timex = no
    idlejitter = no
    tc = no
    statsd = no
    netdata monitoring = no
    profile = no
    apps = no
    proc = yes
    diskspace = yes
    cgroups = yes
"""
NETDATA = "netdata: proc, disks, cgroups"
GLANCES = "glances --quiet --time 1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    host = os.environ["SPARKWEB_TEST_DOCKER_HOST"]
    images_build(host)
    gpus = {"LD_LIBRARY_PATH": str(nvml.build()), "NVML_STANDIN_PROFILE": "eight"}
    with (
        tempfile.TemporaryDirectory() as folder,
        containers(host, CONTAINERS - ENGINES),
        Stack(Path(folder) / "house", docker_host=host, **gpus) as stack,
    ):
        stack.wait_online()
        engines_start(stack)
        with peers(Path(folder)) as others:
            rows = measure(stack, others, options.seconds)
    show(f"An agent with everything on, {options.seconds:g} s", rows, options.json)


@contextlib.contextmanager
def containers(host: str, number: int) -> Iterator[None]:
    """So many containers that only are there."""
    client = docker.DockerClient(base_url=host, timeout=60)
    made: list[Any] = []
    try:
        made.extend(client.containers.run(BUSYBOX, ["sleep", "86400"], detach=True) for _ in range(number))
        yield
    finally:
        for one in made:
            one.remove(force=True)
        client.close()


def engines_start(stack: Stack) -> None:
    """Start the engines one by one; ready when this returns."""
    for number in range(ENGINES):
        slug = f"engine-{number}"
        stack.import_standin(slug, image=STANDIN)
        stack.wait_state(stack.launch_start(slug), "ready", seconds=120)


@contextlib.contextmanager
def peers(folder: Path) -> Iterator[dict[str, psutil.Process | None]]:
    """What is installed of the others, running; None for what is not."""
    commands = {NETDATA: netdata_command(folder), GLANCES: glances_command()}
    children: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            if command:
                children[name] = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
        yield {name: psutil.Process(children[name].pid) if name in children else None for name in commands}
    finally:
        for child in children.values():
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def netdata_command(folder: Path) -> list[str] | None:
    program = shutil.which("netdata") or shutil.which("netdata", path="/usr/sbin")
    if program is None:
        return None
    place = folder / "netdata"
    place.mkdir()
    user = psutil.Process().username()
    (place / "netdata.conf").write_text(NETDATA_CONFIG.format(folder=place, user=user))
    (place / ".opt-out-from-anonymous-statistics").touch()
    return [program, "-D", "-c", str(place / "netdata.conf"), "-P", str(place / "pid")]


def glances_command() -> list[str] | None:
    program = shutil.which("glances")
    return [program, "--quiet", "--time", "1", "--disable-check-update"] if program else None


def measure(stack: Stack, others: dict[str, psutil.Process | None], seconds: float) -> list[dict[str, Any]]:
    """Cost of each process over the same `seconds`, after all have settled."""
    time.sleep(SETTLE_SECONDS)
    agent = stack.child("agent")
    groups: dict[str, psutil.Process | None] = {"SparkWeb's agent, all of it": agent}
    groups |= {_name(child): child for child in agent.children()} | others
    running = {name: process for name, process in groups.items() if process is not None}
    before = {name: cpu_seconds(process) for name, process in running.items()}
    began = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    spent = {name: cpu_seconds(process) - before[name] for name, process in running.items()}
    ours = next(iter(spent.values()))
    rows = []
    for name, process in groups.items():
        if process is None or not process.is_running():
            rows.append({"process": f"{name} ({'ended' if process else 'not installed'})"})
            continue
        row = {"process": name, "CPU, % of a core": 100 * spent[name] / took}
        row |= {"PSS, MB": pss_bytes(process) / 1e6, "CPU, times the agent": spent[name] / ours}
        rows.append(row)
    rows[0] |= {"target %": TARGET_PERCENT, "target MB": TARGET_MB}
    return rows


def _name(child: psutil.Process) -> str:
    words = " ".join(child.cmdline())
    for part in ("metrics_app.sampler", "sparkweb.guardian"):
        if part in words:
            return f"  of it {part}"
    return f"  of it {child.name()} {child.pid}"


if __name__ == "__main__":
    main()
