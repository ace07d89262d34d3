"""The sandbox attacked on a real engine by `manage.py sandbox_selftest`: every row, and what holds after."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from sandbox_app.selftest.checks import CHECKS, TESTED
from sandbox_app.selftest.programs_read import programs_read
from tests.support.sandbox_image import sandbox_image
from tests.support.stack import REPOSITORY, Stack, wait_for

pytestmark = pytest.mark.docker
NUMBERS = sorted(
    {(one.number, one.name) for one in programs_read()} | {(one.number, one.name) for one in CHECKS}
)


@pytest.fixture(scope="module")
def stack(docker_host: str) -> Iterator[Stack]:
    image = sandbox_image(docker_host)
    folder = Path(tempfile.mkdtemp(prefix="selftest"))
    with Stack(folder / "house", docker_host=docker_host, SPARKWEB_SANDBOX_IMAGE=image) as stack:
        stack.wait_online()
        wait_for(lambda: stack.get("/api/sandbox-image")[0]["status"] == "ok", "the node reports its image")
        yield stack


@pytest.fixture(scope="module")
def told(stack: Stack) -> dict[str, Any]:
    """What the command prints as JSON; it takes minutes, once for all rows."""
    done = subprocess.run(
        [sys.executable, "manage.py", "sandbox_selftest", "--json"],
        cwd=REPOSITORY,
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.stdout, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[0])
    return answer


def test_the_suite_has_all_sixty_two() -> None:
    assert {number for number, _ in NUMBERS} | set(TESTED) == set(range(1, 63))


@pytest.mark.parametrize(("number", "name"), NUMBERS, ids=[f"{number:02}-{name}" for number, name in NUMBERS])
def test_the_wall_holds(told: dict[str, Any], number: int, name: str) -> None:
    (row,) = [row for row in told["rows"] if (row["number"], row["name"]) == (number, name)]
    assert row["verdict"] == "held", row


def test_nothing_is_left_behind(told: dict[str, Any], stack: Stack) -> None:
    client = docker.DockerClient(base_url=stack.docker_host, timeout=60)
    installation = (stack.folder / "data" / "installation").read_text().strip()

    def left() -> list[str]:
        found = client.containers.list(all=True, filters={"label": f"sparkweb.installation={installation}"})
        kinds = {one.name: one.labels.get("sparkweb.sandbox") for one in found}
        return [name for name, kind in kinds.items() if kind != "pool"]

    wait_for(lambda: not left(), "no container but those that wait")
    client.close()
    assert told["leaked"] in (0, None)
    assert stack.get("/api/runs?live=true")["results"] == []
    stack.manage("verify_audit")


def test_files_that_the_tests_name_are_there() -> None:
    for _, shown in TESTED.values():
        for word in shown.replace("(", " ").split():
            if word.startswith("tests/"):
                assert (REPOSITORY / word.rstrip(";,")).exists(), word
