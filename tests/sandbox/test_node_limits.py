"""From a policy to a container and back: what is asked for, and what is refused when it does not hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox_app.job import SANDBOX_UID, Policy
from sandbox_app.node.limits import LimitsDiffer, limits_check, order_make
from sparkweb.adapters.docker_sandbox import SandboxOrder, SandboxState, create_config

MIB = 2**20


def order(**fields: Any) -> SandboxOrder:
    policy = Policy(image="image:1", **fields)
    return order_make(policy, name="x", labels={}, inside=Path("/inside"), tool=Path("/folder"))


def state(made: SandboxOrder, **host: Any) -> SandboxState:
    """What the engine says of it; its process is of another machine."""
    config = {**create_config(made)["HostConfig"], "Runtime": made.runtime or "runc", **host}
    return SandboxState("0" * 64, "running", None, 0, False, "", "sha256:1", str(SANDBOX_UID), config)


def own(made: SandboxOrder, **fields: Any) -> dict[str, Any]:
    """What the keeper reads of itself when everything holds."""
    safe = ["rw", "nosuid", "nodev", "noexec"]
    sized = {**made.tmpfs, "/dev/shm": made.shm_bytes}
    mounts = {path: {"kind": "tmpfs", "options": safe, "size_bytes": size} for path, size in sized.items()}
    mounts |= {
        path: {"kind": "ext4", "options": ["ro"], "size_bytes": 1} for path in ("/", "/tool", "/sparkweb")
    }
    found = {
        "uid": SANDBOX_UID,
        "gid": SANDBOX_UID,
        "capabilities": "0000000000000000",
        "no_new_privileges": "1",
        "seccomp": "2",
        "interfaces": ["lo"],
        "mounts": mounts,
        "memory_bytes": made.memory_bytes,
        "memory_and_swap_bytes": made.memory_bytes,
        "swap_bytes": None,
        "pids": made.pids,
        "cpu_percent": made.cpu_percent,
        "files_open": made.files_open,
        "file_bytes": made.file_bytes,
        "core_bytes": 0,
        "python": "3.11.2",
    }
    return {**found, **fields}


def test_the_whole_host_config() -> None:
    config = create_config(order(memory_bytes=256 * MIB, cpu_percent=5, pids=7))
    host = config["HostConfig"]
    assert config["User"] == f"{SANDBOX_UID}:{SANDBOX_UID}"
    assert (host["NetworkMode"], host["CapDrop"], host["ReadonlyRootfs"]) == ("none", ["ALL"], True)
    assert (host["Memory"], host["MemorySwap"]) == (256 * MIB, 256 * MIB)
    assert (host["PidsLimit"], host["CpuQuota"], host["Init"]) == (7, 10_000, False)
    assert host["LogConfig"]["Type"] == "none"
    assert host["SecurityOpt"][0] == "no-new-privileges"
    assert host["SecurityOpt"][1].startswith('seccomp={"defaultAction":"SCMP_ACT_ERRNO"')
    assert {one["Name"]: one["Hard"] for one in host["Ulimits"]}["core"] == 0
    assert all("nosuid" in options and "nodev" in options for options in host["Tmpfs"].values())
    assert [(one["Target"], one["ReadOnly"]) for one in host["Mounts"]] == [
        ("/sparkweb", True),
        ("/tool", True),
    ]


def test_limits_that_hold_are_recorded() -> None:
    made = order()
    limits = limits_check(made, state(made), own(made))
    assert (limits["memory_bytes"], limits["capabilities"], limits["seccomp"]) == (256 * MIB, [], True)


@pytest.mark.parametrize(
    ("named", "inside", "engine"),
    [
        ("capabilities", {"capabilities": "0000000000000001"}, {}),
        ("user", {"uid": 0}, {}),
        ("new privileges", {"no_new_privileges": "0"}, {}),
        ("system call filter", {"seccomp": "0"}, {}),
        ("network interfaces", {"interfaces": ["eth0", "lo"]}, {}),
        ("network", {}, {"NetworkMode": "bridge"}),
        ("memory limit", {"memory_bytes": 2**62}, {}),
        ("swap", {}, {"MemorySwap": -1}),
        ("swap", {"swap_bytes": 1}, {}),
        ("process limit", {"pids": 1000}, {}),
        ("CPU limit", {"cpu_percent": 400}, {}),
        ("open files", {"files_open": 2**20}, {}),
        ("file size", {"file_bytes": -1}, {}),
        ("core", {"core_bytes": -1}, {}),
        ("read-only root", {}, {"ReadonlyRootfs": False}),
        ("privileged", {}, {"Privileged": True}),
        ("runtime", {}, {"Runtime": "crun"}),
    ],
)
def test_one_limit_that_differs_refuses_and_is_named(
    named: str, inside: dict[str, Any], engine: dict[str, Any]
) -> None:
    made = order(runtime="runc") if named == "runtime" else order()
    with pytest.raises(LimitsDiffer, match=named):
        limits_check(made, state(made, **engine), own(made, **inside))


@pytest.mark.parametrize("path", ["/tmp", "/artifacts", "/dev/shm", "/tool", "/"])
def test_a_mount_that_differs_refuses(path: str) -> None:
    made = order()
    mine = own(made)
    mine["mounts"][path] = {"kind": "x", "options": ["rw"], "size_bytes": 2**50}
    with pytest.raises(LimitsDiffer):
        limits_check(made, state(made), mine)


def test_gvisor_filters_calls_itself() -> None:
    made = order(runtime="runsc")
    mine = own(made, seccomp="0", no_new_privileges="0", memory_bytes=None, pids=None, cpu_percent=None)
    assert limits_check(made, state(made), mine)["runtime"] == "runsc"
