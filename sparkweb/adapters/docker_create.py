"""From an order to Docker's create call: the one place where HostConfig is filled.

Fixed for every container of ours: no Docker restart policy but for services (a crash loop
of a model can take a machine down; control restarts with backoff), no new privileges, an init
process that reaps, Docker's `local` log driver bounded to 5 files of 20 MB, no
network but the default bridge, or the host's for a launch on several nodes.
"""

from __future__ import annotations

from typing import Any, Protocol

from sparkweb.adapters.docker_types import ContainerOrder

_LOG_CONFIG = {"Type": "local", "Config": {"max-size": "20m", "max-file": "5"}}


class HostConfigMaker(Protocol):
    """The part of docker's APIClient that turns arguments into a HostConfig."""

    def create_host_config(self, *args: Any, **kwargs: Any) -> dict[str, Any]: ...


def create_arguments(api: HostConfigMaker, order: ContainerOrder) -> dict[str, Any]:
    """Arguments for docker's APIClient.create_container."""
    return {
        "image": order.image,
        "command": order.command,
        "entrypoint": order.entrypoint,
        "user": order.user,
        "name": order.name,
        "environment": order.env,
        "labels": order.labels,
        "ports": sorted({port.container for port in order.ports if order.network != "host"}),
        "host_config": _host_config(api, order),
    }


def _host_config(api: HostConfigMaker, order: ContainerOrder) -> dict[str, Any]:
    options: dict[str, Any] = {
        "init": True,
        "security_opt": ["no-new-privileges"],
        "log_config": _LOG_CONFIG,
        "restart_policy": {"Name": "no"},
        "port_bindings": _port_bindings(order),
        "mounts": [_mount(mount.source, mount.target, mount.read_only) for mount in order.mounts],
        "ulimits": [
            {"Name": name, "Soft": limit, "Hard": limit} for name, limit in sorted(order.ulimits.items())
        ],
    }
    if order.service:
        options["restart_policy"] = {"Name": "unless-stopped"}
        options["cap_drop"] = ["ALL"]
        options["cap_add"] = list(order.service.capabilities)
        options["mem_limit"] = options["memswap_limit"] = order.service.memory_bytes
        options["pids_limit"] = order.service.pids
    if order.network == "host":
        options["network_mode"] = "host"
    if order.devices:
        options["devices"] = [f"{path}:{path}:rwm" for path in order.devices]
    if order.gpus == "all":
        options["device_requests"] = [{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}]
    if order.ipc == "host":
        options["ipc_mode"] = "host"
    if order.shm_bytes:
        options["shm_size"] = order.shm_bytes
    return api.create_host_config(**options)


def _port_bindings(order: ContainerOrder) -> dict[int, list[tuple[str, int]]]:
    bindings: dict[int, list[tuple[str, int]]] = {}
    for port in order.ports if order.network != "host" else []:
        bindings.setdefault(port.container, []).append((port.address, port.host))
    return bindings


def _mount(source: str, target: str, read_only: bool) -> dict[str, Any]:
    # A mount, not the older "binds": those create a missing source as a folder of root's.
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only}
