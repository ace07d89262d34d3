"""An agent that begins one run, for tests that kill it: `python -m tests.support.doomed_sandbox …`.

Arguments: DOCKER_HOST, folder, installation. It says `running RUN` once the tool has printed, and waits.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.support.sandbox_node import SandboxNode
from tests.support.stack import wait_for


def main() -> None:
    docker_host, folder, installation = sys.argv[1:]
    node = SandboxNode(docker_host, Path(folder), installation, pool=1)
    job = node.send(node.job("print('up', flush=True)\nimport time; time.sleep(600)", timeout_seconds=600))
    wait_for(lambda: any(entry["kind"] == "out" for entry in node.stream(job.run)), "its output", 120)
    print("running", job.run, flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main()
