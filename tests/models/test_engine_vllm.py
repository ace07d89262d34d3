"""vLLM's argument vectors and containers: a table of inputs and what comes out."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from models_app.engines.container import image_chosen, settings_merged
from models_app.engines.inputs import DefinitionData, LaunchIds, NodeData
from models_app.engines.spec import ContainerSpec, MountSpec, PortSpec, docker_run_line
from models_app.engines.vllm import VLLM, vllm_spec
from models_app.engines.vllm_settings import VLLM_SETTINGS, VersionSpan, vllm_versions

IDS = LaunchIds(installation="0a1b2c3d", launch="1a2b3c4d5e6f7081", member="aa" * 8, generation=3, attempt=2)
NODE = NodeData(name="spark-1", hf_cache="/home/o/.cache/huggingface", gpu_runtime=True)
OLD = "vllm/vllm-openai:v0.11.0"
NEW = "nvcr.io/nvidia/vllm:26.05.post1-py3"
HEAD = ["--served-model-name", "m", "--host", "0.0.0.0", "--port", "8000"]
CATALOGUE_DEFAULTS = {
    "image": "nvcr.io/nvidia/vllm:25.11-py3",
    "max_num_seqs": 8,
    "gpu_memory_utilization": 0.4,
    "dtype": "auto",
    "swap_space": 16,
    "restart_policy": "unless-stopped",
    "gpus": "all",
    "ipc": "host",
    "ulimit_memlock": -1,
    "ulimit_stack": 67108864,
}


def made(
    settings: dict[str, Any] | None = None,
    *,
    defaults: dict[str, Any] | None = None,
    node: NodeData = NODE,
    image: str = OLD,
    model_id: str = "org/m",
    publish: str = "local",
) -> tuple[ContainerSpec, list[str]]:
    definition = DefinitionData(
        slug="m", model_id=model_id, port=8104, image=image, settings=settings or {}, publish=publish
    )
    return vllm_spec(definition, defaults or {}, node, IDS)


VECTORS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing set": ({}, []),
    "numbers": (
        {"gpu_memory_utilization": 0.4, "max_num_seqs": 8, "max_model_len": 65536},
        ["--max-model-len", "65536", "--max-num-seqs", "8", "--gpu-memory-utilization", "0.4"],
    ),
    "small fraction": ({"gpu_memory_utilization": 0.123456789}, ["--gpu-memory-utilization", "0.123456789"]),
    "booleans on": (
        {
            "enforce_eager": True,
            "enable_prefix_caching": True,
            "enable_chunked_prefill": True,
            "trust_remote_code": True,
        },
        ["--enforce-eager", "--enable-prefix-caching", "--enable-chunked-prefill", "--trust-remote-code"],
    ),
    "booleans off": (
        {"enforce_eager": False, "enable_prefix_caching": False, "enable_chunked_prefill": False},
        ["--no-enable-prefix-caching", "--no-enable-chunked-prefill"],
    ),
    "booleans in words": (
        {"enforce_eager": "yes", "trust_remote_code": "off", "async_scheduling": "No"},
        ["--enforce-eager", "--no-async-scheduling"],
    ),
    "tools": (
        {"enable_auto_tool_choice": True, "tool_call_parser": "qwen3_coder", "reasoning_parser": "qwen3"},
        ["--enable-auto-tool-choice", "--tool-call-parser", "qwen3_coder", "--reasoning-parser", "qwen3"],
    ),
    "mistral": (
        {"tokenizer_mode": "mistral", "config_format": "mistral", "load_format": "mistral"},
        ["--load-format", "mistral", "--tokenizer-mode", "mistral", "--config-format", "mistral"],
    ),
    "parallel": (
        {"tensor_parallel_size": 2, "pipeline_parallel_size": 1, "distributed_executor_backend": "mp"},
        [
            *("--tensor-parallel-size", "2", "--pipeline-parallel-size", "1"),
            *("--distributed-executor-backend", "mp"),
        ],
    ),
    "memory": (
        {"kv_cache_memory_bytes": 4294967296, "kv_cache_dtype": "fp8", "cpu_offload_gb": 2.5},
        ["--kv-cache-memory-bytes", "4294967296", "--kv-cache-dtype", "fp8", "--cpu-offload-gb", "2.5"],
    ),
    "JSON from a mapping": (
        {"speculative_config": {"method": "ngram", "num_speculative_tokens": 3}},
        ["--speculative-config", '{"method":"ngram","num_speculative_tokens":3}'],
    ),
    "JSON as text": ({"limit_mm_per_prompt": '{"image": 2}'}, ["--limit-mm-per-prompt", '{"image": 2}']),
    "swap space on an old vLLM": ({"swap_space": 16}, ["--swap-space", "16"]),
    "emptied": ({"max_num_seqs": None}, []),
    "shell metacharacters": (
        {"chat_template": "a b; $(rm -rf /) `x` 'q' \"d\" && | > *"},
        ["--chat-template", "a b; $(rm -rf /) `x` 'q' \"d\" && | > *"],
    ),
}


@pytest.mark.parametrize(("settings", "expected"), VECTORS.values(), ids=VECTORS)
def test_argument_vector(settings: dict[str, Any], expected: list[str]) -> None:
    spec, notes = made(settings)
    assert spec.entrypoint == ["vllm", "serve"]
    assert spec.command == ["org/m", *HEAD, *expected]
    assert notes == []


@pytest.mark.parametrize(
    ("image", "entrypoint"),
    [
        ("vllm/vllm-openai:v0.11.0", True),
        ("docker.io/vllm/vllm-openai@sha256:" + "0" * 64, True),
        ("registry.lan:5000/vllm/vllm-openai", True),
        ("nvcr.io/nvidia/vllm:25.11-py3", False),
        ("vllm-cpu:tiny", False),
        ("eugr/spark-vllm", False),
        ("lan:5000/vllm-openai:v1", False),
    ],
)
def test_image_decides_who_says_vllm_serve(image: str, entrypoint: bool) -> None:
    spec, _ = made(image=image)
    assert [*(spec.entrypoint or []), *spec.command] == ["vllm", "serve", "org/m", *HEAD]
    assert bool(spec.entrypoint) is entrypoint


@pytest.mark.parametrize(
    ("image", "oldest", "newest"),
    [
        ("vllm/vllm-openai:v0.11.0", (0, 11), (0, 11)),
        ("vllm/vllm-openai:v0.18.0-cu130", (0, 18), (0, 18)),
        ("vllm/vllm-openai:latest", None, None),
        ("vllm/vllm-openai:cu130-nightly", None, None),
        ("vllm/vllm-openai", None, None),
        ("vllm/vllm-openai:v0.11.0@sha256:" + "a" * 64, (0, 11), (0, 11)),
        ("nvcr.io/nvidia/vllm:25.09-py3", None, (0, 10)),
        ("nvcr.io/nvidia/vllm:25.11-py3", (0, 10), (0, 11)),
        ("nvcr.io/nvidia/vllm:26.01-py3", (0, 11), (0, 11)),
        ("nvcr.io/nvidia/vllm:26.04-py3", (0, 17), (0, 20)),
        ("nvcr.io/nvidia/vllm:26.05.post1-py3", (0, 20), (0, 20)),
        ("nvcr.io/nvidia/vllm:27.01-py3", (0, 31), None),
        ("vllm-cpu:tiny", None, None),
        ("localhost:5000/vllm", None, None),
        ("someone/else:v0.11.0", None, None),
    ],
)
def test_vllm_version_by_image(image: str, oldest: tuple[int, int], newest: tuple[int, int]) -> None:
    assert vllm_versions(image) == VersionSpan(oldest, newest)


@pytest.mark.parametrize(
    ("image", "setting", "note"),
    [
        (NEW, {"swap_space": 16}, "swap_space is left out: --swap-space left vLLM in 0.18"),
        (
            "nvcr.io/nvidia/vllm:26.04-py3",
            {"swap_space": 16},
            "swap_space is left out: --swap-space left vLLM in 0.18; this image may be newer",
        ),
        (
            "vllm-cpu:tiny",
            {"swap_space": 16},
            "swap_space is left out: --swap-space left vLLM in 0.18; this image may be newer",
        ),
        ("nvcr.io/nvidia/vllm:25.11-py3", {"swap_space": 16}, None),
        (OLD, {"disable_log_requests": True}, None),
        (
            NEW,
            {"disable_log_requests": True},
            "disable_log_requests is left out: --disable-log-requests left vLLM in 0.12",
        ),
        (
            "vllm/vllm-openai:v0.10.1",
            {"enable_log_requests": True},
            "enable_log_requests is left out: --enable-log-requests came with vLLM 0.11",
        ),
    ],
)
def test_flag_that_the_image_refuses_is_left_out_and_said(
    image: str, setting: dict[str, Any], note: str | None
) -> None:
    spec, notes = made(setting, image=image)
    flag = VLLM_SETTINGS[next(iter(setting))].flag
    assert notes == ([note] if note else [])
    assert (flag in spec.command) is (note is None)


@pytest.mark.parametrize(
    ("image", "settings", "flag"),
    [
        (NEW, {}, ["--disable-access-log-for-endpoints", "/health,/metrics"]),
        ("vllm/vllm-openai:v0.16.0", {}, ["--disable-access-log-for-endpoints", "/health,/metrics"]),
        ("vllm/vllm-openai:v0.15.1", {}, []),
        ("vllm/vllm-openai:latest", {}, []),
        ("nvcr.io/nvidia/vllm:26.02-py3", {}, []),
        (
            NEW,
            {"disable_access_log_for_endpoints": "/ping"},
            ["--disable-access-log-for-endpoints", "/ping"],
        ),
    ],
)
def test_own_questions_stay_out_of_the_log_where_the_flag_is_surely_known(
    image: str, settings: dict[str, Any], flag: list[str]
) -> None:
    command = made(settings, image=image)[0].command
    assert command[command.index("8000") + 1 :] == flag


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("future_knob", "SparkWeb knows no vLLM setting of this name"),
        ("port", "SparkWeb sets it; the definition's port is the one on the node"),
        ("served_model_name", "the model is served under the definition's name"),
        ("api_key", "secrets do not belong in settings"),
    ],
)
def test_unknown_setting_is_ignored_and_its_value_never_shown(name: str, reason: str) -> None:
    spec, notes = made({name: "s3cret"})
    assert notes == [f"{name} is ignored: {reason}"]
    assert "s3cret" not in str(spec.to_json())


def test_settings_overlay_defaults_and_built_in() -> None:
    definition = DefinitionData(
        "m", "org/m", 8104, settings={"gpu_memory_utilization": 0.8, "swap_space": None}
    )
    merged = settings_merged(VLLM, definition, CATALOGUE_DEFAULTS | {"ulimit_stack": 1})
    assert merged == {
        "restart_policy": "unless-stopped",
        "gpus": "all",
        "ipc": "host",
        "ulimit_memlock": -1,
        "ulimit_stack": 1,
        "max_num_seqs": 8,
        "gpu_memory_utilization": 0.8,
        "dtype": "auto",
    }


@pytest.mark.parametrize(
    ("own", "default", "expected"),
    [("a:1", "b:1", "a:1"), ("", "b:1", "b:1"), ("", "", "nvcr.io/nvidia/vllm:25.11-py3")],
)
def test_image_is_the_definitions_then_the_catalogues(own: str, default: str, expected: str) -> None:
    definition = DefinitionData("m", "org/m", 1, image=own)
    assert image_chosen(VLLM, definition, {"image": default}) == expected


def test_the_owners_catalogue_entry_as_a_whole() -> None:
    settings = {
        "max_model_len": 65536,
        "enable_auto_tool_choice": True,
        "tool_call_parser": "qwen3_coder",
    }
    node = NodeData("spark-1", "/hf", ("hf_token", "ngc_api_key"), gpu_runtime=True)
    spec, notes = made(settings, defaults=CATALOGUE_DEFAULTS, image="", node=node)
    assert notes == []
    assert spec.to_json() == {
        "launch": "1a2b3c4d5e6f7081",
        "member": "aa" * 8,
        "generation": 3,
        "installation": "0a1b2c3d",
        "node": "spark-1",
        "slug": "m",
        "ttl_seconds": 60,
        "name": "sparkweb-m-1a2b3c4d-2",
        "image": "nvcr.io/nvidia/vllm:25.11-py3",
        "command": [
            *("vllm", "serve", "org/m", *HEAD, "--max-model-len", "65536", "--max-num-seqs", "8"),
            *("--gpu-memory-utilization", "0.4", "--swap-space", "16", "--dtype", "auto"),
            *("--enable-auto-tool-choice", "--tool-call-parser", "qwen3_coder"),
        ],
        "entrypoint": None,
        "env": {},
        "secret_env": {"HF_TOKEN": "hf_token"},
        "secret_exports": {},
        "user": None,
        "ports": [{"container": 8000, "host": 8104, "address": "127.0.0.1"}],
        "mounts": [{"source": "/hf", "target": "/root/.cache/huggingface", "read_only": False}],
        "gpus": "all",
        "ipc": "host",
        "shm_bytes": None,
        "ulimits": {"memlock": -1, "stack": 67108864},
        "labels": {"sparkweb.weights": "org/m"},
        "network": None,
        "devices": [],
        "probe": {"kind": "openai", "port": 8104, "path": "/health", "model": "m", "host": "127.0.0.1"},
    }


def test_container_settings_stay_out_of_the_vector() -> None:
    spec, notes = made(
        {
            "gpus": "none",
            "ipc": "private",
            "shm_size": "1g",
            "ulimit_memlock": None,
            "ulimit_stack": 1024,
            "restart_policy": "no",
            "env": {"VLLM_CPU_KVCACHE_SPACE": 1, "FLAG": True, "TEXT": "a $b"},
        }
    )
    assert spec.command == ["org/m", *HEAD]
    assert (spec.gpus, spec.ipc, spec.shm_bytes, spec.ulimits) == (None, None, 2**30, {"stack": 1024})
    assert spec.env == {"VLLM_CPU_KVCACHE_SPACE": "1", "FLAG": "true", "TEXT": "a $b"}
    assert notes == []


def test_model_inside_the_image_needs_no_cache() -> None:
    spec, notes = made(image="vllm-cpu:tiny", model_id="/models/smollm2", node=NodeData("spark-1"))
    assert spec.command[:3] == ["vllm", "serve", "/models/smollm2"]
    assert (spec.mounts, notes) == ([], [])


def test_notes_on_the_container() -> None:
    _, notes = made({"shm_size": "1g"}, node=NodeData("spark-1", gpu_runtime=False))
    assert notes == [
        "shm_size has no effect with ipc: host; set ipc: private to use it",
        "Docker on spark-1 offers no GPUs; set gpus: none to run without",
        "spark-1 names no Hugging Face cache, so each start downloads the model again",
    ]


def test_gpus_are_asked_for_even_where_there_are_none() -> None:
    """Docker then refuses with a reason, instead of a model that crawls on the CPU unasked."""
    spec, _ = made(node=NodeData("spark-1", hf_cache="/hf", gpu_runtime=False))
    assert spec.gpus == "all"


@pytest.mark.parametrize(("publish", "address"), [("lan", "192.168.1.89"), ("fabric", "192.168.100.10")])
def test_published_ports_are_said_to_be_open(publish: str, address: str) -> None:
    node = NodeData("spark-1", "/hf", lan_address="192.168.1.89", fabric_address="192.168.100.10")
    spec, [note] = made(publish=publish, node=node)
    assert spec.ports == [PortSpec(8000, 8104), PortSpec(8000, 8104, address)]
    assert note.startswith(f"{address}:8104 answers everyone")


@pytest.mark.parametrize("publish", ["lan", "fabric"])
def test_without_an_address_nothing_is_opened(publish: str) -> None:
    spec, [note] = made(publish=publish)
    assert spec.ports == [PortSpec(8000, 8104)]
    assert "published on 127.0.0.1 only" in note


def test_container_name_fits_a_host_name() -> None:
    name = IDS.container_name("a" * 50 + ".-" * 15)
    assert len(name) <= 63
    assert name.endswith("a-1a2b3c4d-2")


def test_run_line_can_be_pasted_into_a_shell() -> None:
    evil = "$(touch /tmp/x) ; 'a' \"b\""
    spec, _ = made({"chat_template": evil, "env": {"A": evil}})
    words = shlex.split(docker_run_line(spec).replace("\\\n", " "))
    assert evil in words
    assert f"A={evil}" in words
    assert words[words.index("--entrypoint") + 1] == "vllm"
    assert words[words.index(spec.image) + 1 :][:2] == ["serve", "org/m"]


def test_spec_survives_json() -> None:
    spec, _ = made({"max_model_len": 10}, defaults=CATALOGUE_DEFAULTS)
    assert ContainerSpec.from_json(spec.to_json()) == spec
    assert spec.mounts == [MountSpec("/home/o/.cache/huggingface", "/root/.cache/huggingface")]
