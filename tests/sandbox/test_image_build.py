"""The image that tools run in, built for real from its Dockerfile on a local base image."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from sandbox_app.node.image_desk import ImageDesk
from sparkweb.adapters.docker_engine import DockerEngine
from sparkweb.node_link.journal import Journal
from tests.support.debian_image import debian_image
from tests.support.images import BUSYBOX
from tests.support.stack import wait_for

pytestmark = pytest.mark.docker

# Installing numpy, pandas and their friends takes minutes; SPARKWEB_TEST_FULL_IMAGE=yes does.
DATA = "yes" if os.environ.get("SPARKWEB_TEST_FULL_IMAGE") else "no"
IMAGE = "sparkweb-test/built-sandbox:1"
PROBE = """
import json, os, shutil, stat, sys
import yaml, lxml
if sys.argv[1] == "yes":
    import numpy, pandas, matplotlib, scipy
found = []
for folder, _, names in os.walk("/", onerror=None):
    if folder.startswith(("/proc", "/sys", "/dev")):
        continue
    for name in names:
        try:
            mode = os.lstat(os.path.join(folder, name)).st_mode
        except OSError:
            continue
        if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
            found.append(os.path.join(folder, name))
print(json.dumps({"uid": os.getuid(), "setuid": found,
    "programs": {name: bool(shutil.which(name)) for name in ("bash", "node", "jq", "sqlite3", "ffmpeg")}}))
"""


class Desk(ImageDesk):
    """With the journal beside it."""

    def __init__(self, host: str, folder: Path, image: str, **options: Any) -> None:
        self.journal = Journal(folder / "journal.sqlite3")
        super().__init__(DockerEngine(host), self.journal, image, **options)

    def facts(self) -> list[dict[str, Any]]:
        return [json.loads(fact.payload)["data"] for fact in self.journal.unacknowledged()]


@pytest.fixture
def make(docker_host: str, tmp_path: Path) -> Iterator[Any]:
    made: list[Desk] = []

    def desk(image: str = IMAGE, **options: Any) -> Desk:
        made.append(Desk(docker_host, tmp_path, image, **options))
        return made[-1]

    yield desk
    for one in made:
        one.close()
        one.journal.close()


def context(folder: Path, *lines: str) -> Path:
    place = folder / "context"
    place.mkdir()
    (place / "Dockerfile").write_text("\n".join(["ARG BASE", "FROM ${BASE}", *lines]))
    return place


def test_built_for_real_from_the_dockerfile(make: Any, docker_host: str) -> None:
    base = debian_image(docker_host)
    desk = make()
    desk.build("b" * 16, 1, {"BASE": base, "DATA": DATA, "EXTRA": ""}, "host")
    fact = desk.facts()[-1]
    assert fact["outcome"] == "done", fact
    assert desk.entry() == {"name": IMAGE, "status": "ok", "digest": fact["digest"]}
    client = docker.DockerClient(base_url=docker_host, timeout=120)
    try:
        told = client.containers.run(
            IMAGE,
            ["python3", "-c", PROBE, DATA],
            network_mode="none",
            read_only=True,
            tmpfs={"/tmp": ""},
            remove=True,
        )
    finally:
        client.close()
    answer = json.loads(told)
    assert answer["uid"] == 65534
    assert answer["setuid"] == []
    assert answer["programs"] == {"bash": True, "node": True, "jq": True, "sqlite3": True, "ffmpeg": False}


def test_steps_are_told_while_it_works(make: Any, tmp_path: Path) -> None:
    place = context(tmp_path, "RUN echo one", "RUN sleep 2", "RUN echo three")
    desk = make(context=place, image="sparkweb-test/steps:1")
    work = threading.Thread(target=desk.build, args=("c" * 16, 1, {"BASE": BUSYBOX}, "default"), daemon=True)
    work.start()
    told = wait_for(lambda: (desk.building() or {}).get("step", 0) >= 3 and desk.building(), "the third step")
    assert (told["job"], told["steps"]) == ("c" * 16, 5)
    work.join(60)
    assert desk.building() is None
    assert desk.facts()[-1]["outcome"] == "done"


def test_a_failing_step_is_told_in_the_builders_words(make: Any, tmp_path: Path) -> None:
    desk = make(context=context(tmp_path, "RUN echo all is lost; exit 7"), image="sparkweb-test/fails:1")
    desk.build("d" * 16, 1, {"BASE": BUSYBOX}, "default")
    fact = desk.facts()[-1]
    assert fact["outcome"] == "failed"
    assert "non-zero code: 7" in fact["reason"]
    assert "all is lost" in fact["log"]
    assert desk.entry()["status"] == "missing"


def test_a_build_that_is_cancelled_ends(make: Any, tmp_path: Path) -> None:
    desk = make(context=context(tmp_path, "RUN sleep 600"), image="sparkweb-test/endless:1")
    work = threading.Thread(target=desk.build, args=("e" * 16, 1, {"BASE": BUSYBOX}, "default"), daemon=True)
    work.start()
    wait_for(lambda: (desk.building() or {}).get("step") == 3, "the step that lasts")
    desk.cancel("e" * 16, 2)
    work.join(60)
    assert [fact["outcome"] for fact in desk.facts()] == ["cancelled"]


def test_a_second_order_joins_and_one_that_comes_late_finds_it_done(make: Any, tmp_path: Path) -> None:
    desk = make(context=context(tmp_path, "RUN sleep 1"), image="sparkweb-test/twice:1")
    orders = [
        threading.Thread(target=desk.build, args=("f" * 16, 1, {"BASE": BUSYBOX}, "default"))
        for _ in range(3)
    ]
    for order in orders:
        order.start()
    for order in orders:
        order.join(120)
    desk.build("f" * 16, 1, {"BASE": BUSYBOX}, "default")
    assert len(desk.facts()) == 1


def test_an_engine_that_is_away_is_said(tmp_path: Path) -> None:
    desk = Desk(f"unix://{tmp_path}/none.sock", tmp_path, IMAGE)
    desk.build("a" * 16, 1, {"BASE": BUSYBOX}, "default")
    assert desk.facts()[-1]["outcome"] == "failed"
    assert "Docker" in desk.facts()[-1]["reason"]
    assert desk.entry()["status"] == "unknown"
    desk.journal.close()
