"""Other programs that watch a machine, as benchmarks start them; what is not installed is left out.

glances and nvitop are Python programs of any environment on PATH, netdata and prometheus-node-exporter
Debian's. Each looks once a second; node_exporter, which looks when it is asked, is asked once a second.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_port

NVITOP = """
import time
from nvitop import Device, ResourceMetricCollector
ResourceMetricCollector(Device.all(), interval=1.0).daemonize(lambda metrics: True)
time.sleep(86400)
"""
NETDATA = """
[global]
    run as user = root
    update every = 1
[db]
    mode = ram
[directories]
    cache = {folder}
    lib = {folder}
    log = {folder}
    config = {folder}
    stock config = {stock}
    plugins = {plugins}
    web = {folder}
[web]
    bind to = 127.0.0.1:{port}
[ml]
    enabled = no
"""


@dataclass(frozen=True)
class Peer:
    """A program that is installed: its command, and what must go on while it is measured."""

    name: str
    command: list[str]
    beside: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext


def peers(folder: Path) -> Iterator[Peer | str]:
    """Each peer, or the name of one that is not installed. `folder` takes what they write."""
    for name, make in (
        ("glances", _glances),
        ("nvitop", _nvitop),
        ("netdata", _netdata),
        ("prometheus-node-exporter", _node_exporter),
    ):
        program = shutil.which(name)
        yield Peer(name, *make(Path(program), folder)) if program else name


def _glances(program: Path, _folder: Path) -> tuple[list[str]]:
    return ([str(program), "--quiet", "--time", "1"],)


def _nvitop(program: Path, _folder: Path) -> tuple[list[str]]:
    """Its collector: what it draws needs a terminal, and ours draws nothing here either."""
    return ([str(program.with_name("python")), "-c", NVITOP],)


def _netdata(program: Path, folder: Path) -> tuple[list[str]]:
    library = program.parents[1] / "lib" / "netdata"
    text = NETDATA.format(
        folder=folder, stock=library / "conf.d", plugins=library / "plugins.d", port=free_port()
    )
    (folder / "netdata.conf").write_text(text)
    return ([str(program), "-D", "-c", str(folder / "netdata.conf"), "-P", str(folder / "netdata.pid")],)


def _node_exporter(
    program: Path, _folder: Path
) -> tuple[list[str], Callable[[], contextlib.AbstractContextManager[None]]]:
    port = free_port()
    command = [str(program), f"--web.listen-address=127.0.0.1:{port}"]
    return command, lambda: _scraping(f"http://127.0.0.1:{port}/metrics")


@contextlib.contextmanager
def _scraping(address: str) -> Iterator[None]:
    """Ask for a page once a second, as Prometheus would."""
    done = threading.Event()

    def scrape() -> None:
        while not done.wait(1.0):
            with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
                answer.read()

    thread = threading.Thread(target=scrape, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
