"""From a policy to a container, and back: what was asked for, and whether it holds.

Nothing is run in a container whose limits were not read back, from the engine, from the kernel's
view of its first process, and from within before any tool was there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sandbox_app.job import SANDBOX_UID, Policy
from sandbox_app.node.seccomp import SECCOMP_FILE, profile_text
from sparkweb.adapters.cgroups import container_id_read
from sparkweb.adapters.docker_sandbox import CPU_FLOOR_PERCENT, SandboxOrder, SandboxState

ARTIFACT_BYTES = 64 * 2**20
ARTIFACTS_MOST = 64
SHM_MOST_BYTES = 64 * 2**20
PAGE_BYTES = 64 * 1024  # the kernel rounds limits to whole pages; arm64 has pages up to this size
# What a kernel with these modules puts into every network namespace; none of them leads anywhere.
INTERFACES_ALLOWED = frozenset(
    ("lo", "tunl0", "sit0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6gre0")
)


class LimitsDiffer(Exception):
    """A container is not bounded as its policy says; the sentence names what differs."""


def order_make(
    policy: Policy,
    *,
    name: str,
    labels: dict[str, str],
    inside: Path,
    tool: Path,
    workspace: Path | None = None,
    workspace_bytes: int = 0,
) -> SandboxOrder:
    """The container of a policy: our waiting program, the tool's folder, and a session's workspace.

    The workspace is a folder of the node, or memory of the container of `workspace_bytes`.
    """
    mounts = [(str(inside), "/sparkweb", True), (str(tool), "/tool", True)]
    tmpfs = {"/tmp": policy.tmp_bytes, "/artifacts": min(policy.tmp_bytes, ARTIFACT_BYTES)}  # noqa: S108
    if workspace is not None:
        mounts.append((str(workspace), "/workspace", False))
    elif workspace_bytes:
        tmpfs["/workspace"] = min(workspace_bytes, policy.memory_bytes // 2)
    return SandboxOrder(
        name=name,
        image=policy.image,
        command=("python3", "-I", "-X", "utf8", "/sparkweb/wait.py", policy.flavour),
        labels=labels,
        seccomp=profile_text(),
        seccomp_file=str(inside / SECCOMP_FILE),
        user=SANDBOX_UID,
        memory_bytes=policy.memory_bytes,
        cpu_percent=policy.cpu_percent,
        pids=policy.pids,
        files_open=policy.files_open,
        file_bytes=policy.file_bytes,
        shm_bytes=min(policy.tmp_bytes, SHM_MOST_BYTES),
        tmpfs=tmpfs,
        mounts=tuple(mounts),
        runtime=policy.runtime,
        env=_environment(policy),
    )


def _environment(policy: Policy) -> dict[str, str]:
    threads = str(max(1, policy.cpu_percent // 100))
    numbers = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return {
        "HOME": "/tmp",  # noqa: S108 (a path inside)
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": "/tmp",  # noqa: S108
        "PYTHONDONTWRITEBYTECODE": "1",
        "NVIDIA_VISIBLE_DEVICES": "void",  # also where NVIDIA's runtime is Docker's own
        # As many as it has cores: a pool of threads for each of the host's would break the process limit.
        **dict.fromkeys(numbers, threads),
    }


def limits_check(order: SandboxOrder, state: SandboxState, own: dict[str, Any]) -> dict[str, Any]:
    """The limits as they hold, for the record. Raises LimitsDiffer with all that differs.

    `own` is what the keeper read of itself before any tool was there; where this machine
    shows the container's first process, the kernel's word for it comes from here.
    """
    host = state.host
    kernel = _kernel_view(state) or own
    virtual = order.runtime.startswith("runsc")  # gVisor filters calls itself; /proc within shows its own
    checks: list[tuple[str, Any, Any]] = [
        ("user", SANDBOX_UID, own["uid"]),
        ("root", False, str(kernel["uid"]) == "0"),  # where Docker maps users, it is another number outside
        ("capabilities", 0, int(str(kernel["capabilities"]), 16)),
        ("network", "none", host.get("NetworkMode")),
        ("network interfaces", [], sorted(set(own["interfaces"]) - INTERFACES_ALLOWED)),
        ("read-only root", True, bool(host.get("ReadonlyRootfs")) and "ro" in _options(own, "/")),
        ("privileged", False, bool(host.get("Privileged"))),
        ("process limit", order.pids, own["pids"] if own["pids"] is not None else host.get("PidsLimit")),
        ("open files", order.files_open, own["files_open"]),
        ("core size", 0, own["core_bytes"]),
        ("runtime", order.runtime or host.get("Runtime"), host.get("Runtime")),
        ("swap", order.memory_bytes, host.get("MemorySwap")),
    ]
    if not virtual:
        checks += [
            ("no new privileges", "1", str(kernel["no_new_privileges"])),
            ("system call filter", "2", str(kernel["seccomp"])),
            ("file size", order.file_bytes, own["file_bytes"]),
        ]
    differ = [
        f"{what} is {found!r} instead of {wanted!r}" for what, wanted, found in checks if wanted != found
    ]
    differ += _sizes_differ(order, own, host)
    if differ:
        raise LimitsDiffer("The container is not bounded as its policy says: " + "; ".join(differ) + ".")
    return _record(order, state, own)


def _sizes_differ(order: SandboxOrder, own: dict[str, Any], host: dict[str, Any]) -> list[str]:
    differ = []
    memory = own["memory_bytes"] or host.get("Memory") or 0
    if not order.memory_bytes - PAGE_BYTES <= memory <= order.memory_bytes:
        differ.append(f"memory limit is {memory} instead of {order.memory_bytes}")
    if own["swap_bytes"]:
        differ.append(f"swap limit is {own['swap_bytes']} instead of 0")
    wanted = max(order.cpu_percent, CPU_FLOOR_PERCENT)
    if own["cpu_percent"] is not None and own["cpu_percent"] != wanted:
        differ.append(f"CPU limit is {own['cpu_percent']} % instead of {wanted} %")
    for path, size in {**order.tmpfs, "/dev/shm": order.shm_bytes}.items():  # noqa: S108
        found = own["mounts"].get(path, {"size_bytes": 0})["size_bytes"]
        if not 0 < found <= size + PAGE_BYTES:
            differ.append(f"{path} has {found} bytes instead of {size}")
        if missing := {"nosuid", "nodev"} - set(_options(own, path)):
            differ.append(f"{path} is mounted without {', '.join(sorted(missing))}")
    for _, path, read_only in order.mounts:
        if read_only and "ro" not in _options(own, path):
            differ.append(f"{path} can be written")
    return differ


def _options(own: dict[str, Any], path: str) -> list[str]:
    return list(own["mounts"].get(path, {}).get("options", []))


def _kernel_view(state: SandboxState) -> dict[str, Any] | None:
    """What the kernel says of the container's first process; None where it is another machine's."""
    if not state.pid or container_id_read(state.pid) != state.id:
        return None
    try:
        lines = Path(f"/proc/{state.pid}/status").read_text().splitlines()
    except OSError:
        return None
    status = {
        key: value.split() for key, _, value in (line.partition(":") for line in lines) if value.split()
    }
    sets = [status.get(name, ["0"])[0] for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")]
    return {
        "uid": min(status["Uid"], key=int),
        "capabilities": f"{max(int(one, 16) for one in sets):x}",
        "no_new_privileges": status.get("NoNewPrivs", ["0"])[0],
        "seccomp": status.get("Seccomp", ["0"])[0],
    }


def _record(order: SandboxOrder, state: SandboxState, own: dict[str, Any]) -> dict[str, Any]:
    """The limits as they are kept with a run."""
    return {
        "memory_bytes": order.memory_bytes,
        "swap_bytes": 0,
        "cpu_percent": own["cpu_percent"] or order.cpu_percent,
        "pids": order.pids,
        "files_open": own["files_open"],
        "file_bytes": own["file_bytes"],
        "core_bytes": own["core_bytes"],
        "tmp_bytes": own["mounts"]["/tmp"]["size_bytes"],  # noqa: S108
        "user": SANDBOX_UID,
        "capabilities": [],
        "no_new_privileges": True,
        "seccomp": own["seccomp"] == "2",
        "network": "none",
        "read_only_root": True,
        "workspace": "/workspace" in own["mounts"],
        "runtime": state.host.get("Runtime") or "",
        "python": own["python"],
    }
