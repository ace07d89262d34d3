"""Containers that eat memory on a real engine: the right one goes, also while dockerd or the agent hangs.

The memory that the guardian sees is a small machine's: 200 MiB less what these
containers have taken, so that nothing else on the real one matters.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from models_app.engines.spec import ContainerSpec, MountSpec, ProbeSpec
from models_app.node.identity import rank_labels
from sparkweb import config
from sparkweb.agent import guardian_make
from sparkweb.guardian.keeper import MemoryGuardian
from sparkweb.guardian.records import acts_read
from tests.support.dockerd import Dockerd
from tests.support.guardian import MIB, EatenMemory, FakeMeminfo
from tests.support.images import BUSYBOX, images_build
from tests.support.node import Node
from tests.support.stack import wait_for

pytestmark = pytest.mark.docker

WAIT_SECONDS = 90.0
TOTAL_MIB = 200
# Waits for its turn, forks all the while, and takes as much as its /dev/shm has.
EATER = """
(while :; do cat /go/none; done) >/dev/null 2>&1 &
until cat /go/$NAME >/dev/null 2>&1; do sleep 1; done
cat /dev/zero >/dev/shm/fill 2>/dev/null
sleep 6000
"""
NEVER_READY = {"kind": "http", "path": "/"}
AT_ONCE = {"kind": "none"}


class Machine:
    """One node with its guardian, and containers that eat when they are told to."""

    def __init__(self, docker_host: str, folder: Path, installation: str, ports: Iterator[int]) -> None:
        self.folder, self._ports = folder, ports
        (folder / "go").mkdir()
        self.node = Node(docker_host, folder, installation)
        self.memory = FakeMeminfo(folder / "meminfo", TOTAL_MIB, TOTAL_MIB)
        self.eaten = EatenMemory(self.node, self.memory, TOTAL_MIB)
        self.guardian = guardian_make(folder / "guardian", self.node.models, meminfo=self.memory.path)
        self.guardian.start()

    def close(self) -> None:
        self.guardian.close()
        self.eaten.close()
        self.node.close()
        self.memory.close()

    def run(
        self, name: str, eats_mib: int, probe: dict[str, Any], priority: int = 0, pinned: bool = False
    ) -> ContainerSpec:
        """Start an eater, and wait until the guardian knows how to end it."""
        port = next(self._ports)
        spec = self.node.start(
            self.node.spec(
                port,
                slug=name,
                image=BUSYBOX,
                command=["sh", "-c", EATER],
                env={"NAME": name},
                ports=[],
                mounts=[MountSpec(str(self.folder / "go"), "/go", read_only=True)],
                shm_bytes=eats_mib * MIB,
                probe=ProbeSpec(port=port, **probe),
                labels=rank_labels(priority, pinned),
            )
        )
        kind = "ready" if probe == AT_ONCE else "start"
        wait_for(lambda: self.reach(spec, kind) == "signal", f"{name} is a {kind} in the plan", WAIT_SECONDS)
        return spec

    def reach(self, spec: ContainerSpec, kind: str) -> str | None:
        kinds = {one["key"]: one["kind"] for one in self.guardian.section()["victims"]}
        status = self.guardian._fresh_status() or {}
        return status.get("reach", {}).get(spec.member) if kinds.get(spec.member) == kind else None

    def eat(self, name: str) -> None:
        (self.folder / "go" / name).write_text("now")

    def runs(self, spec: ContainerSpec) -> bool:
        """By its first process alone: dockerd may be frozen."""
        victims = self.node.models.guarded.victims()
        return any(one.key == spec.member and one.start_ticks is not None for one in victims)

    def act_on(self, spec: ContainerSpec) -> dict[str, Any]:
        fact = self.node.wait_fact(spec, "guardian_acted", WAIT_SECONDS)
        return fact["act"]  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def _floors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "GUARDIAN_FLOOR_MB", 100)
    monkeypatch.setattr(config, "GUARDIAN_LOWER_FLOOR_MB", 50)


@pytest.fixture
def ports() -> Iterator[int]:
    """Numbers only: nothing is published, and the probes shall find nobody."""
    return iter(range(1, 9))


@pytest.fixture
def machine(docker_host: str, tmp_path: Path, installation: str, ports: Iterator[int]) -> Iterator[Machine]:
    machine = Machine(docker_host, tmp_path, installation, ports)
    yield machine
    machine.close()


@pytest.fixture
def foreign(docker_client: docker.DockerClient) -> Iterator[str]:
    """The id of a container of another SparkWeb on the same engine."""
    labels = {"sparkweb.installation": "0badf00d", "sparkweb.node": "spark-1", "sparkweb.member": "f" * 16}
    container = docker_client.containers.run(BUSYBOX, ["sleep", "6000"], labels=labels, detach=True)
    yield container.id or ""
    container.remove(force=True)


def test_start_that_eats_too_much_goes_and_the_ready_one_stays(machine: Machine, foreign: str) -> None:
    ready = machine.run("ready", 16, AT_ONCE)
    start = machine.run("start", 120, NEVER_READY)
    wait_for(
        lambda: foreign in {one["id"] for one in machine.node.models.containers()}, "it is seen", WAIT_SECONDS
    )
    assert {one.container_id for one in machine.node.models.guarded.victims()}.isdisjoint({foreign})
    machine.eat("start")
    act = machine.act_on(start)
    assert (act["action"], act["victim"]["kind"], act["left"]) == ("kill", "start", 0)
    assert act["available_bytes"] < 2 * 100 * MIB and act["floors"]["floor_bytes"] == 100 * MIB
    assert min(row[1] for row in act["readings"]) == act["available_bytes"]
    assert "It was the newest start" in act["sentence"]
    end = machine.node.wait_fact(start, "container_exited", WAIT_SECONDS)
    assert end["exit_code"] == 137
    verbs = [verb for verb, _ in machine.node.facts(start)]
    assert verbs.index("guardian_acted") < verbs.index("container_exited")
    assert machine.runs(ready) and machine.node.facts(ready, "guardian_acted") == []
    assert machine.guardian.section()["last_act"]["name"] == "start"


def test_below_the_lower_floor_ready_ones_go_by_priority(machine: Machine) -> None:
    machine.run("pinned", 60, AT_ONCE, priority=-9, pinned=True)
    low = machine.run("low", 60, AT_ONCE)
    machine.node.models.guarded.rank(low.member, 3, False)  # changed while it runs
    machine.run("high", 60, AT_ONCE, priority=5)  # the plan that has it was written after the change
    for name in ("pinned", "low", "high"):
        machine.eat(name)
    act = machine.act_on(low)
    assert act["victim"]["priority"] == 3 and act["available_bytes"] < 50 * MIB
    assert acts_read(machine.guardian.folder, 0)[0][1] == act


def test_agent_that_stands_still_leaves_its_plan_and_the_next_one_tells(machine: Machine) -> None:
    spec = machine.run("start", 120, NEVER_READY)
    pid = machine.guardian.section()["pid"]
    machine.guardian._closing.set()
    machine.guardian._thread.join(WAIT_SECONDS)
    machine.node.models.before_end(lambda: None)
    machine.eat("start")
    wait_for(lambda: not machine.runs(spec), "it is ended all the same", WAIT_SECONDS)
    assert machine.node.facts(spec, "guardian_acted") == []
    next_one: MemoryGuardian = guardian_make(
        machine.folder / "guardian", machine.node.models, meminfo=machine.memory.path
    )
    next_one.start()
    try:
        assert machine.act_on(spec)["victim"]["name"] == "start"
        assert next_one.section()["pid"] == pid
    finally:
        next_one.close()


def test_frozen_dockerd_hinders_nothing(
    own_dockerd: Dockerd, tmp_path: Path, installation: str, ports: Iterator[int]
) -> None:
    images_build(own_dockerd.host)
    machine = Machine(own_dockerd.host, tmp_path, installation, ports)
    try:
        spec = machine.run("start", 120, NEVER_READY)
        own_dockerd.freeze()
        try:
            machine.eat("start")
            act = machine.act_on(spec)
            assert (act["action"], act["left"], act["asked_docker"]) == ("kill", 0, False)
            wait_for(lambda: not machine.runs(spec), "its first process is gone", WAIT_SECONDS)
            assert machine.node.facts(spec, "container_exited") == []
        finally:
            own_dockerd.thaw()
        end = machine.node.wait_fact(spec, "container_exited", WAIT_SECONDS)
        assert end["exit_code"] == 137
    finally:
        machine.close()
