"""vLLM on two nodes: what each rank is told, by vLLM's own mode and by Ray."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from models_app.engines.inputs import DefinitionData, Fabric, LaunchIds, NodeData
from models_app.engines.settings_schema import SettingsInvalid
from models_app.engines.spec import ContainerSpec, PortSpec, docker_run_line
from models_app.engines.vllm import vllm_spec

INTERFACE = "enp1s0f1np1"
FIRST = NodeData(
    name="spark-1",
    hf_cache="/home/o/.cache/huggingface",
    lan_address="192.168.1.48",
    fabric_address="192.168.100.10",
    fabric=Fabric(
        "192.168.100.10", INTERFACE, True, 9000, 200000, ("rocep1s0f1", "roceP2p1s0f1"), 3, has_devices=True
    ),
)
SECOND = replace(
    FIRST,
    name="spark-2",
    fabric_address="192.168.100.11",
    fabric=Fabric("192.168.100.11", "enP2p1s0f1np1", True, 9000),
)
NGC = "nvcr.io/nvidia/vllm:26.05-py3"
OPENAI = "vllm/vllm-openai:v0.20.0"


def made(
    rank: int,
    settings: dict[str, Any] | None = None,
    *,
    image: str = NGC,
    publish: str = "local",
    nodes: tuple[NodeData, ...] = (FIRST, SECOND),
) -> tuple[ContainerSpec, list[str]]:
    definition = DefinitionData("m", "org/m", 8104, image, settings or {}, publish)
    ids = LaunchIds("0a1b2c3d", "1a2b3c4d5e6f7081", "aa" * 8, 3, 2, rank, nodes)
    return vllm_spec(definition, {}, nodes[rank], ids)


SERVE = ["vllm", "serve", "org/m", "--served-model-name", "m"]
QUIET = ["--disable-access-log-for-endpoints", "/health,/metrics"]
LISTEN = ["--host", "127.0.0.1", "--port", "8104", *QUIET]
MASTER = ["--master-addr", "192.168.100.10", "--master-port", "28104"]
MP = ["--distributed-executor-backend", "mp"]


@pytest.mark.parametrize(
    ("rank", "settings", "vector"),
    [
        (
            0,
            {},
            [
                *SERVE,
                *LISTEN,
                "--tensor-parallel-size",
                "2",
                "--nnodes",
                "2",
                "--node-rank",
                "0",
                *MASTER,
                *MP,
            ],
        ),
        (
            1,
            {},
            [
                *SERVE,
                *("--tensor-parallel-size", "2", "--nnodes", "2", "--node-rank", "1"),
                *MASTER,
                *MP,
                "--headless",
            ],
        ),
        (
            1,
            {"pipeline_parallel_size": 2, "distributed_executor_backend": "mp"},
            [
                *SERVE,
                *("--nnodes", "2", "--node-rank", "1"),
                *MASTER,
                "--headless",
                *("--pipeline-parallel-size", "2"),
                *MP,
            ],
        ),
        (
            0,
            {"distributed_executor_backend": "ray", "tensor_parallel_size": 4},
            [*SERVE, *LISTEN, "--tensor-parallel-size", "4", "--distributed-executor-backend", "ray"],
        ),
    ],
    ids=["first", "follower", "pipeline", "ray head"],
)
def test_vectors(rank: int, settings: dict[str, Any], vector: list[str]) -> None:
    assert made(rank, settings)[0].command == vector


def test_the_first_serves_and_waits_for_the_others_on_the_fabric() -> None:
    spec, notes = made(0)
    assert (spec.network, spec.ipc, spec.ulimits["memlock"]) == ("host", "host", -1)
    assert spec.ports == [PortSpec(8104, 8104, "127.0.0.1"), PortSpec(28104, 28104, "192.168.100.10")]
    assert (spec.probe.kind, spec.probe.port, spec.probe.host) == ("openai", 8104, "127.0.0.1")
    assert notes == ["tensor_parallel_size is 2: one GPU of each node; set it for nodes with more"]


def test_a_follower_answers_nobody_and_is_ready_when_it_runs() -> None:
    spec, _ = made(1)
    assert (spec.ports, spec.probe.kind, spec.network) == ([], "none", "host")
    assert spec.name.endswith("-2-r1")


def test_each_rank_is_told_its_own_link() -> None:
    variables = (
        "NCCL_SOCKET_IFNAME",
        "GLOO_SOCKET_IFNAME",
        "TP_SOCKET_IFNAME",
        "UCX_NET_DEVICES",
        "OMPI_MCA_btl_tcp_if_include",
    )
    first, _ = made(0)
    assert first.env == {
        **dict.fromkeys(variables, INTERFACE),
        "VLLM_HOST_IP": "192.168.100.10",
        "NCCL_IB_HCA": "rocep1s0f1,roceP2p1s0f1",
        "NCCL_IB_GID_INDEX": "3",
    }
    assert first.devices == ["/dev/infiniband"]
    second, _ = made(1)
    assert second.env == {**dict.fromkeys(variables, "enP2p1s0f1np1"), "VLLM_HOST_IP": "192.168.100.11"}
    assert second.devices == []


def test_an_interface_nobody_knows_is_left_to_the_libraries() -> None:
    nodes = (replace(FIRST, fabric=Fabric("192.168.100.10")), SECOND)
    assert made(0, nodes=nodes)[0].env == {"VLLM_HOST_IP": "192.168.100.10"}


def test_the_owners_environment_goes_first() -> None:
    spec, _ = made(0, {"env": {"NCCL_IB_HCA": "mlx5_0", "NCCL_DEBUG": "INFO"}})
    assert (spec.env["NCCL_IB_HCA"], spec.env["NCCL_DEBUG"]) == ("mlx5_0", "INFO")


def test_ray_starts_a_head_before_the_server_and_workers_instead_of_it() -> None:
    ray = {"distributed_executor_backend": "ray"}
    head, _ = made(0, ray, image=OPENAI)
    assert head.entrypoint is not None
    assert head.entrypoint[:2] == ["/bin/sh", "-c"]
    assert head.entrypoint[2] == (
        'ray start --head --node-ip-address="$VLLM_HOST_IP" --port="$SPARKWEB_RAY_PORT" '
        '--disable-usage-stats && exec "$@"'
    )
    assert head.command[:3] == ["vllm", "serve", "org/m"]
    assert head.env["SPARKWEB_RAY_PORT"] == "28104"
    worker, _ = made(1, ray)
    assert worker.entrypoint == ["ray"]
    assert worker.command == [
        "start",
        "--block",
        "--address=192.168.100.10:28104",
        "--node-ip-address=192.168.100.11",
        "--disable-usage-stats",
    ]
    for spec in (head, worker):
        assert spec.env["RAY_memory_monitor_refresh_ms"] == "0"


@pytest.mark.parametrize(
    ("publish", "host"), [("lan", "192.168.1.48"), ("fabric", "192.168.100.10"), ("local", "127.0.0.1")]
)
def test_where_the_first_listens(publish: str, host: str) -> None:
    spec, notes = made(0, {"tensor_parallel_size": 2}, publish=publish)
    assert spec.command[spec.command.index("--host") + 1] == host
    assert spec.probe.host == host
    assert [note for note in notes if "without a key" in note] == (
        [] if publish == "local" else [f"{host}:8104 answers everyone on the {_word(publish)}, without a key"]
    )


def _word(publish: str) -> str:
    return {"lan": "LAN"}.get(publish, publish)


@pytest.mark.parametrize(
    ("settings", "nodes", "words"),
    [
        ({"tensor_parallel_size": 3}, (FIRST, SECOND), "3 GPUs in all cannot be shared evenly by 2 nodes"),
        ({"distributed_executor_backend": "uni"}, (FIRST, SECOND), "expected mp or ray"),
        ({}, (FIRST, replace(SECOND, fabric=None)), "spark-2 has no fabric address"),
    ],
)
def test_refused(settings: dict[str, Any], nodes: tuple[NodeData, ...], words: str) -> None:
    with pytest.raises(SettingsInvalid, match=words):
        made(0, settings, nodes=nodes)


def test_the_line_says_network_and_devices_and_publishes_nothing() -> None:
    line = docker_run_line(made(0)[0])
    assert "--network host" in line
    assert "--device /dev/infiniband" in line
    assert " -p " not in line
