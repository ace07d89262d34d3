"""A fresh clone to the first page with cold package caches, and the second start to the first page.

python -m bench.first_start [--json]
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from bench.figures import show
from tests.support.stack import PASSWORD, REPOSITORY, free_port, wait_for


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(clone)], check=True)
        environment = fresh_environment(Path(folder))
        first = start(clone, environment)
        second = start(clone, environment)
    rows: list[dict[str, Any]] = [
        {"what": "fresh clone to first page", "seconds": first, "target_seconds": 120},
        {
            "what": "second start to first page",
            "seconds": second,
            "target_seconds": 8,
            "ratio": second / first,
        },
    ]
    show("first_start", rows, options.json)


def fresh_environment(folder: Path) -> dict[str, str]:
    """The user's environment with empty package caches and a data folder of its own."""
    return os.environ | {
        "SPARKWEB_DATA_DIR": str(folder / "data"),
        "SPARKWEB_PORT": str(free_port()),
        "SPARKWEB_ADMIN_PASSWORD": PASSWORD,
        "PIP_NO_CACHE_DIR": "1",
        "npm_config_cache": str(folder / "npm"),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }


def start(clone: Path, environment: dict[str, str]) -> float:
    """Run script/server until the login page answers; the seconds it took."""
    began = time.monotonic()
    process = subprocess.Popen(
        [str(clone / "script" / "server")],
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{environment['SPARKWEB_PORT']}/login/"
        wait_for(lambda: page_answers(url), "the login page answers", 300, every=0.1)
        return time.monotonic() - began
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def page_answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    main()
