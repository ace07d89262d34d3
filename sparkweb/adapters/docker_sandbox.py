"""Containers for tools, as hardened as Docker can: the second place where HostConfig is filled.

    engine = SandboxEngine("unix:///var/run/docker.sock")
    container = engine.sandbox_create(order)
    wire = engine.attach(container)          # before the start, so that nothing is lost
    engine.sandbox_start(container)

Everything that a policy may decide is a field of SandboxOrder; all else is fixed here:
an ordinary user, no capability, no new privileges, our seccomp profile, no network, a
read-only root, sized file systems in memory, memory without swap, no log, no restart, no
core dumps. Docker's own init is not used: it would hold the attached streams where the tool
could open them (/proc/1/fd); what we start reaps children itself.
"""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass, field
from typing import Any

import docker

from sparkweb.adapters.docker_engine import QUICK_SECONDS, DockerEngine

CPU_FLOOR_PERCENT = 10  # with a tiny quota a kill takes effect only after seconds (moby/moby#37326)
PERIOD_MICROSECONDS = 100_000
NPROC = 32_768
# Creating and starting take a third of a second; somebody waits for them, so a Docker that hangs is given up.
START_SECONDS = 30
# Those of today's engines, so that an older one masks as much.
MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True)
class SandboxOrder:
    """What a policy decides about a container. Sizes in bytes.

    `seccomp` is the profile as JSON text, `seccomp_file` where a file has the same text, for Podman.

    `mounts` are (path on the engine's machine, path inside, read only). `tmpfs` maps a folder to its size.
    """

    name: str
    image: str
    command: tuple[str, ...]
    labels: dict[str, str]
    seccomp: str
    user: int
    memory_bytes: int
    cpu_percent: int
    pids: int
    files_open: int
    file_bytes: int
    shm_bytes: int
    tmpfs: dict[str, int]
    mounts: tuple[tuple[str, str, bool], ...] = ()
    runtime: str = ""
    seccomp_file: str = ""
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SandboxState:
    """What the engine says of a container: its state, its first process, how it ended, how it was made."""

    id: str
    status: str
    pid: int | None
    exit_code: int
    oom_killed: bool
    error: str
    image: str
    user: str
    host: dict[str, Any]


class SandboxEngine(DockerEngine):
    """The engine as the sandbox uses it. Safe for threads; every call has a time limit."""

    _podman: bool | None = None

    def sandbox_create(self, order: SandboxOrder) -> str:
        """Create, do not start; the container's id.

        Raises ImageMissing, NameTaken, MountMissing, CreateFailed, EngineUnavailable.
        """
        config = create_config(order, self.is_podman())

        def send(api: docker.APIClient) -> str:
            return str(api.create_container_from_config(config, order.name)["Id"])

        return str(self._call(START_SECONDS, send, order.image))

    def is_podman(self) -> bool:
        """Whether it is Podman that speaks Docker's API here; asked once."""
        if self._podman is None:
            version = self._call(QUICK_SECONDS, lambda api: api.version())
            parts = [str(part.get("Name")) for part in version.get("Components") or []]
            self._podman = "Podman Engine" in parts
        return self._podman

    def attach(self, container: str) -> socket.socket:
        """The container's stdin and, multiplexed, its stdout and stderr: a socket that does not block."""

        def send(api: docker.APIClient) -> socket.socket:
            held = api.attach_socket(container, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
            # A descriptor of our own: the library's goes with its response.
            wire = socket.socket(fileno=os.dup(held.fileno()))
            with contextlib.suppress(OSError):
                held.close()
            wire.setblocking(False)
            return wire

        wire: socket.socket = self._call(START_SECONDS, send)
        return wire

    def sandbox_start(self, container: str) -> None:
        """Start a created container. Raises CreateFailed, ContainerMissing, EngineUnavailable."""
        self._call(START_SECONDS, lambda api: api.start(container))

    def sandbox_kill(self, container: str) -> None:
        """SIGKILL, by an engine that answers soon. Raises ContainerBusy when it does not run."""
        self._call(QUICK_SECONDS, lambda api: api.kill(container, "SIGKILL"))

    def sandbox_remove(self, container: str) -> None:
        """Kill and remove it. Raises ContainerMissing, ContainerBusy while it is being removed."""
        self._call(START_SECONDS, lambda api: api.remove_container(container, v=True, force=True))

    def sandbox_state(self, container: str) -> SandboxState:
        """One container as the engine knows it. Raises ContainerMissing."""
        facts = self._call(QUICK_SECONDS, lambda api: api.inspect_container(container))
        state = facts["State"]
        return SandboxState(
            id=facts["Id"],
            status=state["Status"],
            pid=state.get("Pid") or None,
            exit_code=state.get("ExitCode") or 0,
            oom_killed=bool(state.get("OOMKilled")),
            error=state.get("Error") or "",
            image=facts.get("Image") or "",
            user=facts["Config"].get("User") or "",
            host=facts["HostConfig"],
        )

    def labelled(self, labels: dict[str, str]) -> list[tuple[str, str, dict[str, str]]]:
        """(id, name, labels) of all containers that carry these labels, running or not."""
        filters = {"label": [f"{key}={value}" for key, value in labels.items()]}
        listed = self._call(QUICK_SECONDS, lambda api: api.containers(all=True, filters=filters))
        return [
            (one["Id"], (one.get("Names") or [""])[0].lstrip("/"), one.get("Labels") or {}) for one in listed
        ]

    def image_id(self, image: str) -> str:
        """The id of an image, as its containers name it. Raises ImageMissing."""
        return str(self._call(QUICK_SECONDS, lambda api: api.inspect_image(image), image)["Id"])

    def runtimes(self) -> list[str]:
        """The OCI runtimes that the engine offers, by name."""
        facts = self._call(QUICK_SECONDS, lambda api: api.info())
        return sorted(name for name in (facts.get("Runtimes") or {}) if not name.startswith("io.containerd."))


def create_config(order: SandboxOrder, podman: bool = False) -> dict[str, Any]:
    """The body of the create call."""
    return {
        "Image": order.image,
        "Entrypoint": [order.command[0]],
        "Cmd": list(order.command[1:]),
        "User": f"{order.user}:{order.user}",
        "Env": [f"{key}={value}" for key, value in sorted(order.env.items())],
        "Labels": order.labels,
        "Hostname": "sandbox",
        "WorkingDir": "/tmp",  # noqa: S108 (a path inside)
        "NetworkDisabled": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "StopSignal": "SIGKILL",
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": host_config(order, podman),
    }


def host_config(order: SandboxOrder, podman: bool = False) -> dict[str, Any]:
    """Docker's HostConfig for an order. Podman takes the path of a profile, and knows fewer mount options."""
    profile = order.seccomp_file if podman else order.seccomp
    config: dict[str, Any] = {
        "NetworkMode": "none",
        "IpcMode": "private",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "CapAdd": [],
        "Privileged": False,
        "SecurityOpt": ["no-new-privileges", f"seccomp={profile}"],
        "Memory": order.memory_bytes,
        "MemorySwap": order.memory_bytes,
        "PidsLimit": order.pids,
        "CpuPeriod": PERIOD_MICROSECONDS,
        "CpuQuota": max(order.cpu_percent, CPU_FLOOR_PERCENT) * PERIOD_MICROSECONDS // 100,
        "ShmSize": order.shm_bytes,
        "Tmpfs": {path: _tmpfs_options(size, order.user, podman) for path, size in order.tmpfs.items()},
        "Ulimits": [
            _ulimit("core", 0),
            _ulimit("nofile", order.files_open),
            _ulimit("fsize", order.file_bytes),
            _ulimit("memlock", 0),
            _ulimit("msgqueue", 0),
        ],
        "OomScoreAdj": 800,
        "Init": False,
        "LogConfig": {"Type": "none", "Config": {}},
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
        "MaskedPaths": list(MASKED),
        "ReadonlyPaths": list(READ_ONLY),
        "Mounts": [
            # Private: no mount of ours travels in or out.
            {
                "Type": "bind",
                "Source": source,
                "Target": target,
                "ReadOnly": read_only,
                "BindOptions": {"Propagation": "rprivate"},
            }
            for source, target, read_only in order.mounts
        ],
    }
    if podman:
        # Of its own accord it asks for four million, which not every machine may give. The number counts
        # for the user on the whole host: what bounds a container is its process limit.
        config["Ulimits"].append(_ulimit("nproc", NPROC))
    if order.runtime:
        config["Runtime"] = order.runtime
    return config


def _tmpfs_options(size_bytes: int, user: int, podman: bool) -> str:
    options = f"rw,nosuid,nodev,noexec,size={size_bytes},mode=1777"
    if podman:
        return options
    inodes = max(256, size_bytes // 4096)
    # runc gives it the mode of the image's own folder of that name: so it also belongs to our user.
    owner = f"uid={user},gid={user}"
    return f"{options},nr_inodes={inodes},{owner}"


def _ulimit(name: str, limit: int) -> dict[str, Any]:
    return {"Name": name, "Soft": limit, "Hard": limit}
