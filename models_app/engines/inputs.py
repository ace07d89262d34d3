"""What an engine needs to know to make a container spec: plain data, no ORM."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class DefinitionData:
    """A ModelDefinition as far as engines care. `settings` holds the definition's own, not the defaults."""

    slug: str
    model_id: str
    port: int
    image: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    publish: str = "local"
    script_dir: str = ""


@dataclass(frozen=True)
class Fabric:
    """A node's fast link to the others, as the node reported it.

    `hcas` are the RDMA adapters of its port, on DGX Spark two (the port has two PCIe
    functions); `gid_index` is the RoCE v2 entry of its IPv4 address; `has_devices`
    whether the node has /dev/infiniband. None, 0 or empty where the node does not tell.
    """

    address: str
    interface: str = ""
    up: bool | None = None
    mtu: int | None = None
    speed_mbps: int | None = None
    hcas: tuple[str, ...] = ()
    gid_index: int | None = None
    has_devices: bool = False


@dataclass(frozen=True)
class NodeData:
    """A node as far as engines care.

    `fabric` is None without a fabric address, `hf_cache`, `ollama_models`, `nim_cache`
    and `scripts_dir` are paths on the node (None: it named none), `secrets` the names
    of files in its secrets folder, `gpu_runtime` whether its Docker can hand out GPUs
    (None: not known).
    """

    name: str
    hf_cache: str | None = None
    secrets: tuple[str, ...] = ()
    lan_address: str | None = None
    fabric_address: str | None = None
    gpu_runtime: bool | None = None
    ollama_models: str | None = None
    nim_cache: str | None = None
    fabric: Fabric | None = None
    scripts_dir: str | None = None


@dataclass(frozen=True)
class LaunchIds:
    """Who the container is for. `attempt` counts from 1 within the launch and makes the name unique.

    `rank` counts the launch's nodes from 0; `nodes` are all of them by rank, empty
    for a launch on one node.
    """

    installation: str
    launch: str
    member: str
    generation: int
    attempt: int
    rank: int = 0
    nodes: tuple[NodeData, ...] = ()

    @property
    def spans_nodes(self) -> bool:
        return len(self.nodes) > 1

    def container_name(self, slug: str) -> str:
        """`sparkweb-<slug>-<start of launch>-<attempt>`, at most 63 characters (a host name's limit).

        Followers end in `-r<rank>`: two nodes may share a Docker engine.
        """
        tail = f"-{self.launch[:8]}-{self.attempt}" + (f"-r{self.rank}" if self.rank else "")
        return f"sparkweb-{slug}"[: 63 - len(tail)].rstrip("-._") + tail
