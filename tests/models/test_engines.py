"""Containers of every engine besides vLLM: a table of definitions and what comes out."""

from __future__ import annotations

import shlex
import subprocess
from typing import Any

import pytest

from models_app.engines.inputs import DefinitionData, LaunchIds, NodeData
from models_app.engines.registry import ENGINES, SPECS, calls_tools, context_length
from models_app.engines.spec import ContainerSpec, MountSpec, PortSpec, ProbeSpec, docker_run_line
from models_app.models import Engine

IDS = LaunchIds(installation="0a1b2c3d", launch="1a2b3c4d5e6f7081", member="aa" * 8, generation=3, attempt=2)
NODE = NodeData(
    "spark-1",
    "/home/o/.cache/huggingface",
    ("hf_token", "ngc_api_key"),
    gpu_runtime=True,
    ollama_models="/home/o/.ollama",
    nim_cache="/home/o/.cache/nim",
)
HF = MountSpec("/home/o/.cache/huggingface", "/root/.cache/huggingface")
HIDDEN = {"memlock": -1, "stack": 67108864}
LISTEN = ["--host", "0.0.0.0", "--port"]
OTHERS = [name for name in SPECS if name not in ("vllm", "script")]


def made(
    engine: str, settings: dict[str, Any] | None = None, *, node: NodeData = NODE, **fields: Any
) -> tuple[ContainerSpec, list[str]]:
    image = fields.pop("image", "img:1" if not ENGINES[engine].default_image else "")
    definition = DefinitionData(
        **{
            "slug": "m",
            "model_id": "org/m",
            "port": 8104,
            "settings": settings or {},
            "image": image,
            **fields,
        }
    )
    return SPECS[engine](definition, {}, node, IDS)


PLAIN: dict[str, dict[str, Any]] = {
    "sglang": {
        "image": "lmsysorg/sglang:latest-cu130",
        "command": [
            *("python3", "-m", "sglang.launch_server", "--model-path", "org/m"),
            *("--served-model-name", "m", *LISTEN, "30000", "--enable-metrics"),
        ],
        "ports": [PortSpec(30000, 8104)],
        "probe": ProbeSpec("openai", 8104, "/health", "m"),
        "mounts": [HF],
        "secret_env": {"HF_TOKEN": "hf_token"},
        "ipc": "host",
        "ulimits": HIDDEN,
        "labels": {"sparkweb.weights": "org/m"},
    },
    "llamacpp": {
        "image": "ghcr.io/ggml-org/llama.cpp:server-cuda",
        "command": [
            *("--hf-repo", "org/m", "--alias", "m", *LISTEN, "8080", "--n-gpu-layers", "999", "--metrics"),
        ],
        "ports": [PortSpec(8080, 8104)],
        "probe": ProbeSpec("openai", 8104, "/health", "m"),
        "mounts": [HF],
        "env": {"LLAMA_CACHE": "/root/.cache/huggingface/llama.cpp"},
        "secret_exports": {"HF_TOKEN": "hf_token"},
    },
    "trtllm": {
        "image": "nvcr.io/nvidia/tensorrt-llm/release:1.3.0rc13",
        "command": ["trtllm-serve", "org/m", *LISTEN, "8000"],
        "ports": [PortSpec(8000, 8104)],
        "probe": ProbeSpec("openai", 8104, "/health", "org/m"),
        "mounts": [HF],
        "secret_env": {"HF_TOKEN": "hf_token"},
        "ipc": "host",
        "ulimits": HIDDEN,
        "labels": {"sparkweb.weights": "org/m"},
    },
    "nim": {
        "image": "img:1",
        "command": [],
        "ports": [PortSpec(8000, 8104)],
        "probe": ProbeSpec("http", 8104, "/v1/health/ready", "m"),
        "mounts": [MountSpec("/home/o/.cache/nim", "/opt/nim/.cache")],
        "env": {"NIM_SERVED_MODEL_NAME": "m"},
        "secret_exports": {"NGC_API_KEY": "ngc_api_key", "HF_TOKEN": "hf_token"},
        "user": "agent",
        "shm_bytes": 16 * 2**30,
    },
    "ollama": {
        "image": "ollama/ollama",
        "command": ["serve"],
        "ports": [PortSpec(11434, 8104)],
        "probe": ProbeSpec("ollama", 8104, "/api/tags", "org/m"),
        "mounts": [MountSpec("/home/o/.ollama", "/root/.ollama")],
        "env": {"OLLAMA_HOST": "0.0.0.0:11434"},
    },
    "custom": {
        "image": "img:1",
        "command": [],
        "ports": [PortSpec(8000, 8104)],
        "probe": ProbeSpec("none", 8104, "/", "org/m"),
    },
}


@pytest.mark.parametrize(("engine", "expected"), PLAIN.items(), ids=PLAIN)
def test_without_settings(engine: str, expected: dict[str, Any]) -> None:
    base = ContainerSpec(
        launch=IDS.launch,
        member=IDS.member,
        generation=3,
        installation=IDS.installation,
        node="spark-1",
        slug="m",
        name="sparkweb-m-1a2b3c4d-2",
        gpus="all",
        **expected,
    )
    assert made(engine) == (base, [])


VECTORS: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "sglang",
        {"context_length": 32768, "mem_fraction_static": 0.6, "tp_size": 2, "enable_metrics": False},
        ["--context-length", "32768", "--mem-fraction-static", "0.6", "--tp-size", "2"],
    ),
    (
        "sglang",
        {"tool_call_parser": "qwen25", "trust_remote_code": "yes", "chunked_prefill_size": -1},
        [
            *("--chunked-prefill-size", "-1", "--tool-call-parser", "qwen25"),
            *("--trust-remote-code", "--enable-metrics"),
        ],
    ),
    (
        "sglang",
        {"json_model_override_args": {"rope_scaling": {"factor": 2}}, "enable_metrics": None},
        ["--json-model-override-args", '{"rope_scaling":{"factor":2}}'],
    ),
    (
        "llamacpp",
        {"ctx_size": 65536, "parallel": 2, "flash_attn": "on", "cache_type_k": "q8_0", "n_gpu_layers": 20},
        [
            *("--ctx-size", "65536", "--parallel", "2", "--n-gpu-layers", "20"),
            *("--flash-attn", "on", "--cache-type-k", "q8_0", "--metrics"),
        ],
    ),
    (
        "llamacpp",
        {"jinja": False, "no_mmap": True, "n_gpu_layers": None, "metrics": "off"},
        ["--no-mmap", "--no-jinja"],
    ),
    (
        "trtllm",
        {"max_seq_len": 8192, "kv_cache_free_gpu_memory_fraction": 0.5, "trust_remote_code": True},
        ["--max_seq_len", "8192", "--kv_cache_free_gpu_memory_fraction", "0.5", "--trust_remote_code"],
    ),
    (
        "trtllm",
        {"backend": "pytorch", "tp_size": 2, "chat_template": "$(id) ; 'a'"},
        ["--backend", "pytorch", "--tp_size", "2", "--chat_template", "$(id) ; 'a'"],
    ),
    ("custom", {"command": ["--a b", "$(id)", ""], "container_port": 9000}, ["--a b", "$(id)", ""]),
]


@pytest.mark.parametrize(("engine", "settings", "tail"), VECTORS)
def test_argument_vector(engine: str, settings: dict[str, Any], tail: list[str]) -> None:
    spec, notes = made(engine, settings)
    head = PLAIN[engine]["command"]
    fixed = head[: head.index("--port") + 2] if "--port" in head else []
    assert spec.command == [*fixed, *tail]
    assert notes == []


ENVIRONMENTS: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("ollama", {"keep_alive": -1}, {"OLLAMA_KEEP_ALIVE": "-1"}),
    ("ollama", {"keep_alive": "24h", "flash_attention": True},
     {"OLLAMA_KEEP_ALIVE": "24h", "OLLAMA_FLASH_ATTENTION": "1"}),
    ("ollama", {"context_length": 8192, "num_parallel": 2, "kv_cache_type": "q8_0"},
     {"OLLAMA_CONTEXT_LENGTH": "8192", "OLLAMA_NUM_PARALLEL": "2", "OLLAMA_KV_CACHE_TYPE": "q8_0"}),
    ("ollama", {"env": {"OLLAMA_ORIGINS": "*", "OLLAMA_KEEP_ALIVE": "1h"}, "keep_alive": "5m"},
     {"OLLAMA_ORIGINS": "*", "OLLAMA_KEEP_ALIVE": "1h"}),
    ("nim", {"max_model_len": 4096, "relax_mem_constraints": True, "enable_auto_tool_choice": "no"},
     {"NIM_MAX_MODEL_LEN": "4096", "NIM_RELAX_MEM_CONSTRAINTS": "1", "NIM_ENABLE_AUTO_TOOL_CHOICE": "0"}),
    ("custom", {"env": {"A": 1, "B": True, "C": "x y"}}, {"A": "1", "B": "true", "C": "x y"}),
]  # fmt: skip


@pytest.mark.parametrize(("engine", "settings", "expected"), ENVIRONMENTS)
def test_settings_that_travel_as_variables(
    engine: str, settings: dict[str, Any], expected: dict[str, str]
) -> None:
    spec, notes = made(engine, settings)
    assert spec.env == PLAIN[engine].get("env", {}) | expected
    assert notes == []


def test_ollama_address_is_not_the_owners_to_change() -> None:
    """Otherwise its port would answer nobody."""
    spec, notes = made("ollama", {"host": "127.0.0.1"})
    assert spec.env["OLLAMA_HOST"] == "0.0.0.0:11434"
    assert notes == ["host is ignored: SparkWeb sets it"]


@pytest.mark.parametrize(
    ("model_id", "words", "mounts", "exports"),
    [
        ("org/m-GGUF:Q4_K_M", ["--hf-repo", "org/m-GGUF:Q4_K_M"], [HF], {"HF_TOKEN": "hf_token"}),
        ("/models/m.gguf", ["--model", "/models/m.gguf"], [], {}),
        (
            "/root/.cache/huggingface/mine/m.gguf",
            ["--model", "/root/.cache/huggingface/mine/m.gguf"],
            [HF],
            {},
        ),
    ],
)
def test_llamacpp_model_by_name_or_path(
    model_id: str, words: list[str], mounts: list[MountSpec], exports: dict[str, str]
) -> None:
    spec, notes = made("llamacpp", model_id=model_id)
    assert spec.command[:2] == words
    assert (spec.mounts, spec.secret_exports, notes) == (mounts, exports, [])


def test_llamacpp_image_that_starts_something_else() -> None:
    spec, _ = made("llamacpp", {"entrypoint": ["/opt/llama-server"]}, image="mine:sm121")
    assert spec.entrypoint == ["/opt/llama-server"]


def test_trtllm_folder_is_served_under_its_last_part() -> None:
    spec, _ = made("trtllm", model_id="/models/Qwen3-30B-FP4/")
    assert spec.probe.model == "Qwen3-30B-FP4"


def test_custom_with_a_health_path_and_a_program() -> None:
    settings = {"health_path": "/ready?full=1", "entrypoint": ["/bin/server"], "command": ["-p", "9"]}
    spec, notes = made("custom", {**settings, "container_port": 9})
    assert spec.probe == ProbeSpec("http", 8104, "/ready?full=1", "org/m")
    assert (spec.entrypoint, spec.command, spec.ports) == (["/bin/server"], ["-p", "9"], [PortSpec(9, 8104)])
    assert notes == []


@pytest.mark.parametrize("name", ["mounts", "volumes", "devices", "privileged", "network", "cap_add", "user"])
def test_custom_gets_no_more_of_the_machine(name: str) -> None:
    spec, [note] = made("custom", {name: ["/:/host"]})
    assert spec.mounts == [] and spec.user is None and spec.secret_env == spec.secret_exports == {}
    assert note == f"{name} is ignored: SparkWeb gives no container more of the machine than its engine needs"


@pytest.mark.parametrize("engine", OTHERS)
def test_unknown_settings_are_ignored_and_their_values_never_shown(engine: str) -> None:
    spec, notes = made(engine, {"future_knob": "s3cret", "swap_space": 16})
    assert len(notes) == 2 and all("is ignored" in note for note in notes)
    assert "s3cret" not in str(spec.to_json()) and "swap" not in str(spec.to_json())


NOTES: list[tuple[str, str]] = [
    ("sglang", "names no Hugging Face cache"),
    ("llamacpp", "names no Hugging Face cache"),
    ("trtllm", "names no Hugging Face cache"),
    ("nim", "has no secret ngc_api_key"),
    ("nim", "names no NIM cache"),
    ("ollama", "names no folder for Ollama"),
]


@pytest.mark.parametrize(("engine", "words"), NOTES)
def test_what_the_node_lacks_is_said(engine: str, words: str) -> None:
    spec, notes = made(engine, node=NodeData("spark-1", gpu_runtime=False))
    assert spec.mounts == [] and spec.secret_env == spec.secret_exports == {}
    assert any(words in note for note in notes), notes
    assert "Docker on spark-1 offers no GPUs; set gpus: none to run without" in notes


@pytest.mark.parametrize("engine", OTHERS)
def test_published_port_is_said_to_be_open(engine: str) -> None:
    node = NodeData("spark-1", "/hf", ("ngc_api_key",), "192.168.1.89", None, True, "/o", "/n")
    spec, notes = made(engine, node=node, publish="lan")
    assert [port.address for port in spec.ports] == ["127.0.0.1", "192.168.1.89"]
    assert notes == ["192.168.1.89:8104 answers everyone on the LAN, without a key"]


@pytest.mark.parametrize("engine", OTHERS)
def test_container_settings_hold_for_every_engine(engine: str) -> None:
    settings = {
        "gpus": "none",
        "ipc": "private",
        "shm_size": "1g",
        "ulimit_memlock": None,
        "ulimit_stack": 1024,
    }
    spec, notes = made(engine, settings)
    assert (spec.gpus, spec.ipc, spec.shm_bytes, spec.ulimits) == (None, None, 2**30, {"stack": 1024})
    assert notes == []


@pytest.mark.parametrize("engine", OTHERS)
def test_survives_json_and_a_shell_reads_its_line(engine: str) -> None:
    evil = "$(touch /tmp/x) ; 'a' \"b\""
    spec, _ = made(engine, {"env": {"A": evil}})
    assert ContainerSpec.from_json(spec.to_json()) == spec
    line = docker_run_line(spec)
    assert f"A={evil}" in shlex.split(line.replace("\\\n", " "))
    assert "nvapi" not in line


def test_run_line_reads_exported_secrets_where_it_is_run() -> None:
    """A shell gives it the secret; the line itself holds the file's name."""
    line = docker_run_line(made("nim")[0], "/tmp/none")
    assert '-u "$(id -u)"' in line and 'NGC_API_KEY="$(cat "/tmp/none"/ngc_api_key)"' in line
    assert subprocess.run(["sh", "-n", "-c", line], check=False).returncode == 0


def test_registry_names_every_engine_once() -> None:
    assert list(ENGINES) == list(Engine.values)
    assert {name: kind.label for name, kind in ENGINES.items()} == dict(Engine.choices)
    assert list(SPECS) == list(ENGINES)


@pytest.mark.parametrize("kind", ENGINES.values(), ids=ENGINES)
def test_tables_hold_together(kind: Any) -> None:
    """Defaults are valid, the form's names exist, each setting has one way to its engine and a help text."""
    assert set(kind.built_in) <= set(kind.settings)
    assert set(kind.common) <= set(kind.settings)
    assert {name for name in (kind.context, *kind.tools) if name} <= set(kind.settings)
    assert not set(kind.own) & set(kind.settings)
    for name, setting in kind.settings.items():
        assert name == setting.name and setting.help.endswith((".", "…")), setting
        assert not (setting.flag and setting.variable)


@pytest.mark.parametrize(
    ("engine", "settings", "context", "tools"),
    [
        ("vllm", {"max_model_len": 10, "enable_auto_tool_choice": True}, 10, True),
        ("sglang", {"context_length": 10, "tool_call_parser": "x"}, 10, True),
        ("llamacpp", {"ctx_size": 0}, None, False),
        ("ollama", {"context_length": 10}, 10, False),
        ("script", {"max_model_len": 10}, 10, False),
        ("trtllm", {"max_seq_len": "long", "tool_parser": "x"}, None, True),
        ("custom", {}, None, False),
    ],
)
def test_context_length_and_tools_as_clients_see_them(
    engine: str, settings: dict[str, Any], context: int | None, tools: bool
) -> None:
    assert context_length(engine, settings) == context
    assert calls_tools(engine, settings) is tools
