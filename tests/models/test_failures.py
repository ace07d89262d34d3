# ruff: noqa: E501 - the words of engines are one line each
"""What engines really say when they fail, and which card it makes."""

from __future__ import annotations

from typing import Any

import pytest

from models_app.engines.registry import engine_kind
from models_app.failures.cards import Failed, FailureCard
from models_app.failures.classify import EVIDENCE_LIMIT, failure_classify
from models_app.failures.rules import BY_CODE


def card(
    *log: str, engine: str = "vllm", settings: dict[str, Any] | None = None, **fields: Any
) -> FailureCard:
    known = engine_kind(engine).settings
    return failure_classify(
        Failed(log=log, settings=settings or {}, known=known, **{"code": "exited", **fields})
    )


VLLM = "(EngineCore_DP0 pid=187) ERROR 11-23 19:04:01 [core.py:708] "
# engine, what it said, kind
SAID = [
    # vLLM 0.11 to 0.32
    ("vllm", "vllm: error: unrecognized arguments: --swap-space 4", "unknown_flag"),
    ("vllm", "api_server.py: error: argument --dtype: invalid choice: 'fp7' (choose from 'auto', 'half')", "bad_value"),
    ("vllm", "RuntimeError: Insufficient space in /dev/shm: 67108864 bytes free. Increase /dev/shm.", "shm"),
    ("vllm", VLLM + "OSError: [Errno 28] No space left on device: '/dev/shm/psm_1f2e'", "shm"),
    ("vllm", VLLM + "torch.distributed.DistBackendError: Error while creating shared memory segment "
     "/dev/shm/nccl-XyZ (size 9637888)", "shm"),
    ("vllm", "OSError: [Errno 28] No space left on device", "disk_full"),
    ("vllm", "ValidationError: User-specified max_model_len (10000000) is greater than the derived max_model_len "
     "(max_position_embeddings=8192.0 or model_max_length=None in model's config.json).", "context_too_long"),
    ("vllm", VLLM + "ValueError: To serve at least one request with the models's max seq len (65536), (8.00 GiB KV "
     "cache is needed, which is larger than the available KV cache memory (5.10 GiB). Based on the available "
     "memory, the estimated maximum model length is 41776. Try increasing `gpu_memory_utilization`", "kv_cache"),
    ("vllm", VLLM + "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` "
     "when initializing the engine.", "kv_cache"),
    ("vllm", VLLM + "ValueError: Free memory on device (38.2/121.69 GiB) on startup is less than desired GPU memory "
     "utilization (0.85, 103.44 GiB). Decrease GPU memory utilization or reduce GPU memory used by other "
     "processes.", "gpu_memory"),
    ("vllm", VLLM + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 594.00 MiB. GPU 0 has a total "
     "capacity of 121.69 GiB of which 312.00 MiB is free.", "gpu_memory"),
    ("vllm", "RuntimeError: CUDA out of memory occurred when warming up sampler with 1024 dummy requests. Please try "
     "lowering `max_num_seqs` or `gpu_memory_utilization` when initializing the engine.", "gpu_memory"),
    ("vllm", "OSError: You are trying to access a gated repo.", "no_token"),
    ("vllm", "huggingface_hub.errors.GatedRepoError: 401 Client Error. (Request ID: Root=1-6)", "no_token"),
    ("vllm", "Access to model meta-llama/Llama-3.1-8B is restricted. You must have access to it and be authenticated "
     "to access it. Please log in.", "no_token"),
    ("vllm", "huggingface_hub.errors.GatedRepoError: 403 Client Error. Cannot access gated repo for url "
     "https://huggingface.co/meta-llama/Llama-3.1-8B/resolve/main/config.json.", "gated"),
    ("vllm", "Access to model meta-llama/X is restricted and you are not in the authorized list.", "gated"),
    ("vllm", "OSError: Qwen/Qwen4 is not a local folder and is not a valid model identifier listed on "
     "'https://huggingface.co/models'", "weights_missing"),
    ("vllm", "huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error. Repository Not Found for url",
     "weights_missing"),
    ("vllm", "OSError: /models/x does not appear to have a file named config.json.", "weights_missing"),
    ("vllm", "ValueError: Invalid repository ID or local directory specified: '/models/none'.", "weights_missing"),
    ("vllm", "OSError: We couldn't connect to 'https://huggingface.co' to load the files", "offline"),
    ("vllm", "safetensors_rust.SafetensorError: Error while deserializing header: header too large", "weights_broken"),
    ("vllm", "ValueError: The repository m contains custom code which must be executed. Please pass the argument "
     "`trust_remote_code=True` to allow custom code to be run.", "remote_code"),
    ("vllm", "ValueError: Model architectures ['Qwen4ForCausalLM'] are not supported for now.", "unsupported_model"),
    ("vllm", "ValueError: The checkpoint you are trying to load has model type `qwen4` but Transformers does not "
     "recognize this architecture.", "unsupported_model"),
    ("vllm", "RuntimeError: Failed to infer device type, please set VLLM_LOGGING_LEVEL=DEBUG", "gpu_missing"),
    ("vllm", "RuntimeError: No CUDA GPUs are available", "gpu_missing"),
    ("vllm", "RuntimeError: Found no NVIDIA driver on your system.", "gpu_missing"),
    ("vllm", "ImportError: libcuda.so.1: cannot open shared object file: No such file or directory", "gpu_missing"),
    ("vllm", "RuntimeError: The NVIDIA driver on your system is too old (found version 12040).", "driver"),
    ("vllm", "RuntimeError: CUDA error: no kernel image is available for execution on the device", "driver"),
    ("vllm", "ptxas fatal   : Value 'sm_121a' is not defined for option 'gpu-name'", "driver"),
    ("vllm", "OSError: [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in "
     "use", "port"),
    # SGLang
    ("sglang", "launch_server.py: error: unrecognized arguments: --enable-foo", "unknown_flag"),
    ("sglang", "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.", "kv_cache"),
    ("sglang", "ValueError: User-specified context_length (262144) is greater than the derived context_length "
     "(32768). This may lead to incorrect model outputs or CUDA errors.", "context_too_long"),
    # llama.cpp
    ("llamacpp", "error: invalid argument: --flash-attention", "unknown_flag"),
    ("llamacpp", "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9000.00 MiB on device 0: cudaMalloc failed: "
     "out of memory", "gpu_memory"),
    ("llamacpp", "llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache",
     "kv_cache"),
    ("llamacpp", "gguf_init_from_file: failed to open GGUF file '/models/x.gguf'", "weights_missing"),
    ("llamacpp", "gguf_init_from_file_impl: invalid magic characters: 'vers', expected 'GGUF'", "weights_broken"),
    ("llamacpp", "llama_model_load: error loading model: error loading model architecture: unknown model "
     "architecture: 'qwen4'", "unsupported_model"),
    ("llamacpp", "main: couldn't bind HTTP server socket, hostname: 0.0.0.0, port: 8080", "port"),
    # TensorRT-LLM
    ("trtllm", "Error: No such option: --max_seqlen", "unknown_flag"),
    ("trtllm", "[TensorRT-LLM][ERROR] CUDA runtime error in cudaMallocAsync(ptr, n): out of memory", "gpu_memory"),
    ("trtllm", "RuntimeError: Executor creation failed due to insufficient GPU memory.", "gpu_memory"),
    # Ollama
    ("ollama", "Error: unknown flag: --ctx", "unknown_flag"),
    ("ollama", "Error: model requires more system memory (9.8 GiB) than is available (5.6 GiB)", "host_memory"),
    # The container itself, Docker, the toolkit
    ("vllm", "exec /usr/bin/vllm: exec format error", "architecture"),
    ("vllm", "no matching manifest for linux/arm64/v8 in the manifest list entries", "architecture"),
    ("vllm", 'could not select device driver "" with capabilities: [[gpu]]', "gpu_missing"),
    ("vllm", "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=13.0, please update your driver "
     "to a newer version", "driver"),
    ("vllm", "manifest for vllm/vllm-openai:v9 not found: manifest unknown", "image"),
    ("vllm", "unauthorized: authentication required", "image_denied"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "said", "kind"), SAID, ids=[f"{e}-{k}-{n}" for n, (e, _, k) in enumerate(SAID)]
)
def test_each_engines_words_make_the_right_card(engine: str, said: str, kind: str) -> None:
    made = card("INFO 11-23 19:03:50 [__init__.py:216] Automatically detected platform cuda.", said,
                "RuntimeError: Engine core initialization failed. See root cause above.", engine=engine)  # fmt: skip
    assert made.kind == kind
    assert made.evidence in said, "the line itself is quoted"
    assert made.evidence
    assert made.title and made.advice.endswith(".")


# What one click would change ----------------------------------------------------------

CORRECTED = [
    ("vllm", "unrecognized arguments: --swap-space 4", {"swap_space": 4}, {"swap_space": None}),
    ("vllm", "unrecognized arguments: --swap-space 4 --port 8000", {"swap_space": 4}, {"swap_space": None}),
    ("vllm", "unrecognized arguments: --made-up", {"swap_space": 4}, {}),
    ("llamacpp", "error: invalid argument: --jinja", {"jinja": True}, {"jinja": None}),
    ("vllm", "User-specified max_model_len (99999) is greater than the derived max_model_len "
     "(max_position_embeddings=8192.0 or model_max_length=None", {"max_model_len": 99999}, {"max_model_len": 8192}),
    ("sglang", "User-specified context_length (99999) is greater than the derived context_length (32768).",
     {"context_length": 99999}, {"context_length": 32768}),
    ("vllm", "the estimated maximum model length is 41776.", {}, {"max_model_len": 41776}),
    ("vllm", "the estimated maximum model length is 16.", {}, {}),
    ("vllm", "Free memory on device (38.2/121.69 GiB) on startup is less", {"gpu_memory_utilization": 0.85},
     {"gpu_memory_utilization": 0.29}),
    ("vllm", "Free memory on device (3.2/121.69 GiB) on startup is less", {"gpu_memory_utilization": 0.85}, {}),
    ("vllm", "CUDA out of memory occurred when warming up sampler with 1024 dummy requests.", {},
     {"max_num_seqs": 256}),
    ("vllm", "Insufficient space in /dev/shm", {"ipc": "private", "shm_size": "64m"},
     {"ipc": "host", "shm_size": None}),
    ("vllm", "Insufficient space in /dev/shm", {"ipc": "host"}, {}),
    ("sglang", "Not enough memory. Please try to increase --mem-fraction-static.", {"mem_fraction_static": 0.5},
     {"mem_fraction_static": 0.55}),
    ("sglang", "Not enough memory. Please try to increase --mem-fraction-static.", {}, {}),
    ("llamacpp", "failed to allocate buffer for kv cache", {"ctx_size": 65536}, {"ctx_size": 32768}),
    ("vllm", "No CUDA GPUs are available", {"gpus": "all"}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("engine", "said", "settings", "overlay"), CORRECTED)
def test_the_correction_is_what_the_engine_names(
    engine: str, said: str, settings: dict[str, Any], overlay: dict[str, Any]
) -> None:
    made = card(said, engine=engine, settings=settings)
    assert made.overlay == overlay
    assert all(change.before == settings.get(change.name) for change in made.changes)


# Which of several signs counts ---------------------------------------------------------


def test_a_warning_on_the_way_does_not_hide_the_error() -> None:
    made = card("WARNING 11-23 17:40:01 could not find libcuda.so.1: cannot open shared object file",
                VLLM + "ValueError: No available memory for the cache blocks.")  # fmt: skip
    assert made.kind == "kv_cache"


def test_the_reason_counts_where_the_log_is_lost() -> None:
    made = card(reason="exited with code 2: vllm: error: unrecognized arguments: --swap-space 4",
                settings={"swap_space": 4})  # fmt: skip
    assert (made.kind, made.overlay) == ("unknown_flag", {"swap_space": None})


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"oom_killed": True, "exit_code": 137, "code": "out_of_memory"}, "cgroup_memory"),
        ({"exit_code": 137}, "killed"),
        ({"exit_code": 135}, "shm"),
        ({"exit_code": 0}, "ended"),
        ({"exit_code": 3}, "unknown"),
        ({"code": "memory_guardian", "reason": "Killed by the guardian: 1.2 GiB left"}, "guardian"),
        ({"code": "docker_down"}, "docker"),
        ({"code": "hang", "reason": "It hangs"}, "hang"),
        ({"code": ""}, "unknown"),
    ],
)
def test_without_words_the_code_and_the_exit_speak(fields: dict[str, Any], kind: str) -> None:
    assert card("Loading…", **fields).kind == kind


def test_a_pull_that_fails_for_want_of_disk_says_so() -> None:
    made = card(code="pull_failed", reason="failed to register layer: write /x: no space left on device")
    assert made.kind == "disk_full"
    assert card(code="pull_failed", reason="context deadline exceeded").kind == "image_pull"


def test_every_code_that_nodes_give_has_a_card() -> None:
    """docs/architecture.md names the codes of start_refused."""
    codes = ("model_pull_failed image_missing pull_failed port_in_use gpu_missing docker_missing docker_denied "
             "docker_down mount_missing secret_missing name_taken installation_differs create_failed")  # fmt: skip
    assert set(codes.split()) <= set(BY_CODE)


def test_odd_logs_do_no_harm() -> None:
    made = card("\x1b[31m\x00 e" * 2_000, "x" * 1_000_000, "error: " + "y" * 10_000)
    assert made.kind == "unknown"
    assert len(made.evidence) <= EVIDENCE_LIMIT
    assert "\x00" not in made.evidence
    assert card().kind == "unknown"
