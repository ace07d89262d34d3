"""How soon a browser is told that an engine has ended: from Docker's own note of the end to the frame.

    SPARKWEB_TEST_DOCKER_HOST=unix://… python -m bench.truth [--rounds 10] [--json]

Ways to end: SIGKILL and `docker rm -f` behind our back, exit 1 and the kernel's OOM killer while loading.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker

from bench.figures import percentile, show
from bench.live_states import LiveStates
from tests.support.images import STANDIN, images_build
from tests.support.stack import Stack, wait_for

TARGET_SECONDS = 2.0
ENDED = ("requested", "failed", "parked")


class Deaths(threading.Thread):
    """When Docker itself noted the end of each launch's container (seconds since the epoch)."""

    def __init__(self, host: str) -> None:
        super().__init__(daemon=True)
        self._client = docker.APIClient(base_url=host)
        self.at: dict[str, float] = {}

    def run(self) -> None:
        for event in self._client.events(filters={"event": ["die"]}, decode=True):
            launch = event["Actor"]["Attributes"].get("sparkweb.launch")
            if launch:
                self.at.setdefault(launch, event["timeNano"] / 1e9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    host = os.environ["SPARKWEB_TEST_DOCKER_HOST"]
    images_build(host)
    deaths = Deaths(host)
    deaths.start()
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder) / "house", docker_host=host) as stack:
        stack.wait_online()
        states = LiveStates(stack)
        states.start()
        rows = []
        for name, (script, _) in WAYS.items():
            stack.import_standin(slug_of(name), image=STANDIN, **script)
            ends = [one_end(stack, states, deaths, name) for _ in range(options.rounds)]
            rows.append(_row(name, ends))
        states.close()
    show("truth", rows, options.json)


def _row(name: str, seconds: list[float]) -> dict[str, Any]:
    return {
        "end": name,
        "rounds": len(seconds),
        "p50_s": percentile(seconds, 50),
        "p99_s": percentile(seconds, 99),
        "target_p99_s": TARGET_SECONDS,
    }


def slug_of(name: str) -> str:
    return name.replace(" ", "-").lower()


def one_end(stack: Stack, states: LiveStates, deaths: Deaths, name: str) -> float:
    end = WAYS[name][1]
    uid = stack.launch_start(slug_of(name))
    if end is not None:
        states.wait(uid, ("loading", "ready"))
        (container,) = [one for one in stack.containers() if one.labels["sparkweb.launch"] == uid]
        end(container)
    died = wait_for(lambda: deaths.at.get(uid), "Docker notes the end", every=0.005)
    told = states.wait(uid, ENDED, after=died - 0.05)
    stack.call("POST", f"/api/launches/{uid}/stop/")
    stack.wait_state(uid, "stopped", "failed")
    return max(0.0, told - died)


def _limit(container: Any) -> None:
    container.update(mem_limit="48m", memswap_limit="48m")


# What the stand-in is told to do, and what is done to its container; None: it ends by itself.
WAYS: dict[str, tuple[dict[str, str], Callable[[Any], None] | None]] = {
    "SIGKILL": ({"STANDIN_LOAD_SECONDS": "0"}, lambda container: container.kill()),
    "exit 1": ({"STANDIN_LOAD_SECONDS": "0", "STANDIN_EXIT_CODE": "1"}, None),
    "OOM kill": ({"STANDIN_LOAD_SECONDS": "8", "STANDIN_OOM_MB": "256"}, _limit),
    "rm -f": ({"STANDIN_LOAD_SECONDS": "0"}, lambda container: container.remove(force=True)),
}


if __name__ == "__main__":
    main()
