"""An agent that begins one start, for tests that kill it: `python -m tests.support.doomed_agent …`.

Arguments: DOCKER_HOST, folder, installation, and the spec as JSON. Where it dies is
SPARKWEB_FAILPOINT's to say; it ends with status 0 when nothing killed it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from models_app.engines.spec import ContainerSpec
from tests.support.node import Node


def main() -> None:
    docker_host, folder, installation, spec = sys.argv[1:]
    node = Node(docker_host, Path(folder), installation)
    node.start(ContainerSpec.from_json(json.loads(spec)))
    node.close()


if __name__ == "__main__":
    main()
