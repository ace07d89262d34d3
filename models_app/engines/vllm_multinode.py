"""vLLM on several nodes: what each rank is told, by vLLM's own mode or by Ray. Pure.

Sources: vLLM's parallelism and scaling page (--nnodes, --node-rank, --master-addr,
--master-port, --headless); NVIDIA's DGX Spark playbooks (interface variables, host
network, /dev/infiniband, memory monitor of Ray).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from models_app.engines.container import Draft
from models_app.engines.inputs import DefinitionData, Fabric
from models_app.engines.settings_schema import SettingsInvalid
from models_app.engines.spec import RDMA_DEVICES, PortSpec

LOCAL = "127.0.0.1"
MASTER_PORT_BASE = 20000
"""Rank 0 listens for its followers at 20000 + the last four digits of the definition's port."""
INTERFACE_VARIABLES = (
    "NCCL_SOCKET_IFNAME",
    "GLOO_SOCKET_IFNAME",
    "TP_SOCKET_IFNAME",
    "UCX_NET_DEVICES",
    "OMPI_MCA_btl_tcp_if_include",
)
# Reads no user text: addresses and the port come from the environment, the program as arguments.
_RAY_HEAD = (
    'ray start --head --node-ip-address="$VLLM_HOST_IP" --port="$SPARKWEB_RAY_PORT" '
    '--disable-usage-stats && exec "$@"'
)


@dataclass(frozen=True)
class RankPlan:
    """What one rank adds to a vLLM container; `serves` whether it answers requests."""

    serves: bool
    host: str
    arguments: list[str]
    env: dict[str, str]
    ports: list[PortSpec]
    devices: list[str]
    before: list[str] | None = None
    instead: list[str] | None = None
    notes: list[str] = field(default_factory=list)


def master_port(definition: DefinitionData) -> int:
    """The port at which rank 0 waits for its followers, outside the range of ephemeral ones."""
    return MASTER_PORT_BASE + definition.port % 10000


def rank_plan(draft: Draft) -> RankPlan:
    """What this rank of a launch on several nodes is told.

    `instead` replaces the whole command (a Ray worker), `before` is put before it
    (the Ray head). Raises SettingsInvalid when a node has no fabric address, or
    the GPUs that the settings ask for do not divide by the nodes.
    """
    fabrics = [_fabric(draft, node.name, node.fabric) for node in draft.launch.nodes]
    own, head, rank = fabrics[draft.launch.rank], fabrics[0], draft.launch.rank
    port = master_port(draft.definition)
    backend = draft.settings.get("distributed_executor_backend", "mp")
    if backend not in ("mp", "ray"):
        raise SettingsInvalid(
            [f"{draft.definition.slug}: distributed_executor_backend: expected mp or ray on several nodes"]
        )
    parallel, notes = _parallel(draft)
    serves = rank == 0
    host = _host(draft, notes) if serves else LOCAL
    ports = [PortSpec(draft.definition.port, draft.definition.port, host), PortSpec(port, port, own.address)]
    plan = RankPlan(
        serves=serves,
        host=host,
        arguments=parallel,
        env=_environment(own),
        ports=ports if serves else [],
        devices=[RDMA_DEVICES] if own.has_devices else [],
        notes=notes,
    )
    return _ray(plan, head, own, port) if backend == "ray" else _native(plan, draft, head, rank, port)


def _native(plan: RankPlan, draft: Draft, head: Fabric, rank: int, port: int) -> RankPlan:
    words = ["--nnodes", str(len(draft.launch.nodes)), "--node-rank", str(rank)]
    words += ["--master-addr", head.address, "--master-port", str(port)]
    if "distributed_executor_backend" not in draft.settings:
        words += ["--distributed-executor-backend", "mp"]
    words += [] if plan.serves else ["--headless"]
    return replace(plan, arguments=plan.arguments + words)


def _ray(plan: RankPlan, head: Fabric, own: Fabric, port: int) -> RankPlan:
    env = plan.env | {"RAY_memory_monitor_refresh_ms": "0", "SPARKWEB_RAY_PORT": str(port)}
    if plan.serves:
        return replace(plan, env=env, before=["/bin/sh", "-c", _RAY_HEAD, "sh"])
    words = ["ray", "start", "--block", f"--address={head.address}:{port}"]
    words += [f"--node-ip-address={own.address}", "--disable-usage-stats"]
    return replace(plan, env=env, instead=words)


def _fabric(draft: Draft, name: str, fabric: Fabric | None) -> Fabric:
    if fabric is None:
        raise SettingsInvalid(
            [f"{draft.definition.slug}: {name} has no fabric address; enter it on the node's page"]
        )
    return fabric


def _parallel(draft: Draft) -> tuple[list[str], list[str]]:
    """The size of the split: as the settings say, else one GPU of each node."""
    nodes = len(draft.launch.nodes)
    named = [draft.settings.get(name) for name in ("tensor_parallel_size", "pipeline_parallel_size")]
    if named == [None, None]:
        note = f"tensor_parallel_size is {nodes}: one GPU of each node; set it for nodes with more"
        return ["--tensor-parallel-size", str(nodes)], [note]
    gpus = (named[0] or 1) * (named[1] or 1)
    if gpus % nodes:
        raise SettingsInvalid(
            [
                f"{draft.definition.slug}: tensor_parallel_size: {gpus} GPUs in all cannot be shared "
                f"evenly by {nodes} nodes"
            ]
        )
    return [], []


def _host(draft: Draft, notes: list[str]) -> str:
    """Where rank 0 answers requests, which is the node itself unless the definition is published."""
    node, publish = draft.node, draft.definition.publish
    if publish == "local":
        return LOCAL
    word, address = ("LAN", node.lan_address) if publish == "lan" else ("fabric", node.fabric_address)
    if not address:
        note = f"{node.name} has no {word} address, so it listens on {LOCAL} only"
        notes.append(f"{note}; enter the address on the node's page")
        return LOCAL
    notes.append(f"{address}:{draft.definition.port} answers everyone on the {word}, without a key")
    return address


def _environment(own: Fabric) -> dict[str, str]:
    """Where each library finds the fast link. Without RDMA adapters NCCL uses its TCP sockets."""
    env = {"VLLM_HOST_IP": own.address}
    if own.interface:
        env |= dict.fromkeys(INTERFACE_VARIABLES, own.interface)
    if own.hcas:
        env["NCCL_IB_HCA"] = ",".join(own.hcas)
    if own.hcas and own.gid_index is not None:
        env["NCCL_IB_GID_INDEX"] = str(own.gid_index)
    return env
