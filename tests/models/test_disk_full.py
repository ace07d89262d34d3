"""A disk that fills up during a pull: an engine whose folder is a small file system of its own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from models_app.engines.spec import ProbeSpec
from tests.support.dockerd import Dockerd, DockerdUnavailable
from tests.support.node import Node
from tests.support.registry import Registry

pytestmark = pytest.mark.docker
DISK = "48m"


@pytest.fixture
def small_dockerd() -> Iterator[Dockerd]:
    """An engine of this test alone with 48 MB for images and containers."""
    folder = Path(tempfile.mkdtemp(prefix="swd"))
    data = folder / "data"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(data)], check=True)
    engine = Dockerd(folder)
    try:
        engine.start()
        yield engine
    except DockerdUnavailable as error:
        pytest.fail(str(error))
    finally:
        engine.stop()
        with contextlib.suppress(subprocess.CalledProcessError):
            subprocess.run(["umount", "-l", str(data)], check=True, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def fill(folder: Path) -> Path:
    """Write until nothing more goes onto the disk; the file that holds it all."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(1 << 16))
            file.flush()
    return filler


def test_a_disk_that_fills_during_a_pull_is_said_and_nothing_is_left(
    small_dockerd: Dockerd, tmp_path: Path, free_port: int
) -> None:
    node = Node(small_dockerd.host, tmp_path, "d15cf011")
    try:
        with Registry() as registry:
            registry.bytes_per_second = 2_000_000
            image = registry.add("big", layers=2, layer_bytes=10_000_000)
            spec = node.spec(free_port, image=image, command=[], probe=ProbeSpec("none", free_port))
            thread = node.start_in_background(spec)
            node.wait_entry(spec, lambda entry: (entry["stage"] or {}).get("done_bytes"))
            filler = fill(small_dockerd.folder / "data")
            refused = node.wait_fact(spec, "start_refused")
            thread.join(60)
            assert refused["code"] in ("disk_full", "disk_short") or "no space left" in refused["reason"]
            assert node.models.launches() == []
            filler.unlink()
            again = node.spec(free_port, image=image, command=[], probe=ProbeSpec("none", free_port))
            node.wait_ready(node.start(again))
            node.stop(again, timeout_seconds=1)
            node.wait_fact(again, "container_exited")
    finally:
        node.close()
