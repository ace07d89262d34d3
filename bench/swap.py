"""One model stops and another starts, through the product and by hand with the same Docker.

    SPARKWEB_TEST_DOCKER_HOST=unix://… python -m bench.swap [--rounds 50] [--json]

Both models need no time to load. Ours is over when a browser is told that the new one is ready; by hand
it is over when `docker run` has returned, and in a row of its own when the engine answers.
"""

from __future__ import annotations

import argparse
import http.client
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import docker

from bench.figures import percentile, show
from bench.live_states import LiveStates
from tests.support.images import STANDIN, images_build
from tests.support.ports import free_port
from tests.support.stack import Stack, wait_for

TARGET_RATIO = 1.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    host = os.environ["SPARKWEB_TEST_DOCKER_HOST"]
    images_build(host)
    bare = [by_hand(host) for _ in range(options.rounds)]
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder) / "house", docker_host=host) as stack:
        ours = swaps(stack, options.rounds)
    run, answers = [one[0] for one in bare], [one[1] for one in bare]
    base = percentile(run, 50)
    rows: list[dict[str, Any]] = [
        _row("docker stop + docker run", run, base),
        _row("the same until it answers", answers, base),
        _row("swap until ready is shown", ours, base) | {"target_ratio": TARGET_RATIO},
    ]
    show("swap", rows, options.json)


def _row(what: str, seconds: list[float], base: float) -> dict[str, Any]:
    p50 = percentile(seconds, 50)
    return {"what": what, "p50_s": p50, "p99_s": percentile(seconds, 99), "ratio": p50 / base}


def swaps(stack: Stack, rounds: int) -> list[float]:
    stack.wait_online()
    for slug in ("first", "second"):
        stack.import_standin(slug, image=STANDIN, STANDIN_LOAD_SECONDS="0")
    states = LiveStates(stack)
    states.start()
    running, seconds = stack.launch_start("first"), []
    states.wait(running, ("ready",))
    for round_ in range(rounds):
        began = time.time()
        stack.call("POST", f"/api/launches/{running}/stop/")
        states.wait(running, ("stopped",))
        running = stack.launch_start("first" if round_ % 2 else "second")
        seconds.append(states.wait(running, ("ready",)) - began)
    states.close()
    return seconds


def by_hand(host: str) -> tuple[float, float]:
    """Seconds for stop and run, and until the new engine answers too."""
    client = docker.DockerClient(base_url=host)
    old, _ = _run(client)
    began = time.time()
    old.stop()
    new, port = _run(client)
    ran = time.time() - began
    wait_for(lambda: _answers(port), "the engine answers", every=0.005)
    answered = time.time() - began
    for container in (old, new):
        container.remove(force=True)
    client.close()
    return ran, answered


def _run(client: docker.DockerClient) -> tuple[Any, int]:
    port = free_port()
    words = ["vllm", "serve", "test/model", "--served-model-name", "standin", "--port", "8000"]
    container = client.containers.run(
        STANDIN,
        words,
        detach=True,
        ports={"8000/tcp": ("127.0.0.1", port)},
        environment={"STANDIN_LOAD_SECONDS": "0"},
    )
    return container, port


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    main()
