# ruff: noqa: E501 - the words of engines are one line each
"""What engines, Docker and drivers say when a start fails, and what it means. Pure.

Words are those of vLLM 0.11 to 0.32, SGLang 0.4 and 0.5, llama.cpp, TensorRT-LLM 1.x, Ollama,
huggingface_hub, PyTorch, Docker 20.10 to 29 and the NVIDIA container toolkit.
"""

from __future__ import annotations

import re

from models_app.failures import corrections as mend
from models_app.failures.cards import CodeRule, Correct, Rule


def _rule(kind: str, title: str, words: str, advice: str, correct: Correct | None = None) -> Rule:
    return Rule(kind, title, re.compile(words, re.IGNORECASE), advice, correct)


_SHM = "Set ipc to host, or with ipc private a larger shm_size."
_MEMORY = "Stop another model first, or give this one less: a smaller context, fewer requests at a time."
_NEEDS_LOGIN = "Accept the model's terms on huggingface.co, then put a token into the file hf_token in the node's secrets folder."
_WEIGHTS = "Check the model id of the definition, and that the file or folder exists on this node."
_ACCESS = (
    "The token in hf_token may not read this model: accept its terms with that account, or use another token."
)
_ARCH = "The image is for another processor. A DGX Spark needs an image for arm64 (aarch64)."
_DRIVER = "Update the NVIDIA driver of the node, or choose an image made for an older CUDA."
_GPU = "Check nvidia-smi on the node and that Docker has the NVIDIA Container Toolkit; the definition's gpus must be all."
_DISK = "Free space on the node: delete images and weights that nothing uses."

BY_WORDS: tuple[Rule, ...] = (
    # Flags and values: the engine ended before it did anything.
    _rule("unknown_flag", "This version does not know a flag",
          r"(?:unrecognized arguments?|no such option|unknown flag|invalid argument|unknown argument): ?"
          r"(?P<flags>-.*)",
          "The image holds another version than the settings were written for: take the setting back, or "
          "change the image.", mend.flag_removed),
    _rule("bad_value", "A setting has a value that this version refuses",
          r"error: argument (?P<flags>--[\w-]+)[^:]*: (?:invalid|expected)",
          "Correct the value in the definition; the engine names what it takes."),
    # Shared memory stands before disk: both say "No space left on device".
    _rule("shm", "/dev/shm is too small",  # noqa: S108  a title
          r"insufficient space in /dev/shm|insufficient shared memory|shared memory segment /dev/shm"
          r"|/dev/shm.*no space left|no space left on device.*/dev/shm|\bbus error\b.*\bshm\b",
          _SHM, mend.shared_memory),
    _rule("disk_full", "The disk is full", r"no space left on device|disk quota exceeded|errno 28\b", _DISK),
    # Lengths and KV cache: the engine names the number that would do.
    _rule("context_too_long", "The context is longer than the model's own",
          r"User-specified (?:max_model_len|context_length) \(\d+\) is greater than the derived "
          r"(?:max_model_len|context_length) \((?:[^)]*?=)?(?P<limit>\d+)",
          "Lower the context length to the model's own, or stretch the model's positions (rope scaling).",
          mend.length_of_model),
    _rule("kv_cache", "Too little memory for the KV cache",
          r"estimated maximum model length is (?P<limit>\d+)",
          "Lower the context length, or give the model a larger share of the memory.",
          mend.length_that_fits),
    _rule("kv_cache", "No memory is left for the KV cache",
          r"No available memory for the cache blocks|KV cache is (?:needed, which is )?larger than"
          r"|max seq len \(?\d+\)? is larger than the maximum number of tokens that can be stored in KV cache",
          "The weights fill the model's share: raise gpu_memory_utilization if memory is free, or choose a "
          "smaller model or quantization."),
    _rule("kv_cache", "No memory is left for the KV cache",
          r"Not enough memory\. Please try to increase --mem-fraction-static",
          "Raise mem_fraction_static if memory is free, or lower the context length.",
          mend.static_share_raised),
    _rule("kv_cache", "Too little memory for the KV cache",
          r"failed to (?:allocate|create|initialize)[^\n]{0,80}\bkv[ _-]?cache|llama_kv_cache[^\n]{0,80}failed",
          "Lower the context length (ctx_size), or use a smaller number format for the KV cache.",
          mend.context_halved),
    # Memory of the GPU, then of the host.
    _rule("gpu_memory", "Less memory is free than the model's share",
          r"Free memory on device[^(]*\((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\)",
          "Stop another model, or lower gpu_memory_utilization to what is free.", mend.share_that_is_free),
    _rule("gpu_memory", "The GPU ran out of memory",
          r"CUDA out of memory occurred when warming up[^\n]*?with (?P<count>\d+) dummy requests",
          "Lower max_num_seqs or gpu_memory_utilization.", mend.fewer_sequences),
    _rule("gpu_memory", "The GPU ran out of memory",
          r"CUDA out of memory|CUDA error: out of memory|cudaMalloc failed: out of memory"
          r"|cudaMalloc[^\n]{0,60}out of memory|OutOfMemoryError|CUDA_ERROR_OUT_OF_MEMORY"
          r"|insufficient GPU memory|NVML_ERROR_MEMORY|unable to allocate CUDA\d* buffer",
          _MEMORY),
    _rule("host_memory", "The host ran out of memory",
          r"model requires more system memory|Cannot allocate memory|std::bad_alloc|\bMemoryError\b"
          r"|DefaultCPUAllocator: (?:can't|not enough)|failed to mmap|Out of memory: Killed process",
          _MEMORY),
    # Who may read the weights, and whether they are there.
    _rule("gated", "The model is gated, and the token may not read it",
          r"403 Client Error[^\n]*huggingface|gated repo[^\n]*(?:403|not in the authorized list|ask for access)"
          r"|is restricted and you are not in the authorized list|your request to access[^\n]*(?:pending|awaiting)",
          _ACCESS),
    _rule("no_token", "The model needs a Hugging Face token",
          r"gated repo|GatedRepoError|is restricted\. You must have access|401 Client Error[^\n]*huggingface"
          r"|Invalid user token|Please log in|huggingface-cli login|token is required[^\n]*hugging",
          _NEEDS_LOGIN),
    _rule("offline", "The node does not reach the model's registry",
          r"couldn't connect to '?https?://huggingface\.co|Failed to resolve 'huggingface\.co'"
          r"|Temporary failure in name resolution|LocalEntryNotFoundError"
          r"|outgoing traffic has been disabled|dial tcp[^\n]*(?:no such host|i/o timeout|network is unreachable)",
          "Check the node's network and name service, or download the weights ahead."),
    _rule("weights_missing", "The weights are not there",
          r"Repository Not Found|RepositoryNotFoundError|404 Client Error[^\n]*huggingface"
          r"|is not a local folder and is not a valid model identifier|Entry Not Found for url"
          r"|does not appear to have a file named|Invalid repository ID or local directory"
          r"|failed to open GGUF file|gguf_init_from_file: failed|No such file or directory[^\n]*\.(?:gguf|safetensors|bin)"
          r"|\.(?:gguf|safetensors)'?:? No such file|Cannot find any model weights|Incorrect path_or_model_id"
          r"|Can't load (?:the configuration|tokenizer) (?:of|for)|no GGUF files found|file does not exist",
          _WEIGHTS),
    _rule("weights_broken", "A file of the weights is broken",
          r"SafetensorError|InvalidHeader|header too (?:large|small)|tensor .{1,120} data is not within the file bounds"
          r"|invalid magic|file is not a (?:zip|gguf)|IncompleteMetadata|magic characters",
          "Delete the model's files from the node's cache, so that they are downloaded again."),
    _rule("remote_code", "The model brings code of its own",
          r"trust_remote_code=True|requires you to execute the configuration file",
          "Read that code; if you trust it, set trust_remote_code in the definition."),
    _rule("unsupported_model", "This version cannot run the model",
          r"Model architectures \[[^\]]*\] (?:are not supported|failed to be inspected)|unknown model architecture"
          r"|does not recognize this architecture|Unsupported architecture|No module named 'transformers_modules"
          r"|Unknown quantization (?:method|type)|quantization method[^\n]{0,80}not supported",
          "Choose a newer image of the engine, or another form of the model."),
    # Processor, driver, GPU.
    _rule("architecture", "The image is for another processor",
          r"exec format error|no matching manifest for linux/|does not match the (?:detected|specified) (?:host )?platform"
          r"|cannot execute binary file",
          _ARCH),
    _rule("driver", "Driver and CUDA do not fit together",
          r"driver version is insufficient for CUDA|NVIDIA driver on your system is too old|unsatisfied condition: cuda"
          r"|forward compatibility was attempted|unsupported display driver|no kernel image is available for execution"
          r"|is not compatible with the current PyTorch installation|named symbol not found|CUDA_ERROR_NO_BINARY_FOR_GPU"
          r"|Value 'sm_\d+a?' is not defined|unsupported gpu architecture|driver/library version mismatch"
          r"|provided PTX was compiled with an unsupported toolchain",
          _DRIVER),
    _rule("gpu_missing", "There is no GPU for it",
          r"No CUDA GPUs are available|Failed to infer device type|Found no NVIDIA driver|no CUDA-capable device"
          r"|could not select device driver|libcuda\.so\.1: cannot open|No accelerator \(CUDA|Device string must not be empty"
          r"|nvidia-container-cli|CUDA_ERROR_NO_DEVICE|Torch not compiled with CUDA enabled|ggml_cuda_init: failed",
          _GPU),
    _rule("port", "Its port is taken",
          r"address already in use|errno 98\b|port is already allocated|couldn't bind (?:HTTP server )?socket|bind: .*in use",
          "Stop what listens there, or change the definition's port."),
    _rule("image", "The image was not found",
          r"manifest unknown|manifest for [^\n]* not found|repository does not exist|pull access denied|No such image"
          r"|invalid reference format|name unknown",
          "Check the image's name and tag; log in on the node (docker login) if it is private."),
    _rule("image_denied", "The registry wants a login",
          r"unauthorized: authentication required|denied: requested access|no basic auth credentials"
          r"|(?:pull|fetch)[^\n]*(?:401 Unauthorized|403 Forbidden)",
          "Log in to the registry on the node: docker login, for nvcr.io with an NGC key."),
)  # fmt: skip

BY_CODE: dict[str, CodeRule] = {
    "memory_guardian": CodeRule(
        "guardian",
        "Ended by the memory guardian, before the machine froze",
        "Stop another model before you start it again, or give this one less memory.",
    ),
    "memory_short": CodeRule(
        "memory_short", "The memory that it waited for did not come back", "Stop another model, then start it again."
    ),
    "image_missing": CodeRule(
        "image",
        "The image was not found",
        "Check the image's name and tag; log in on the node (docker login) if it is private.",
        certain=False,
    ),
    "pull_failed": CodeRule(
        "image_pull",
        "The image could not be pulled",
        "Check that the node reaches the registry, then start it again: what was pulled stays.",
        certain=False,
    ),
    "model_pull_failed": CodeRule(
        "weights_missing", "The model could not be pulled", "Check the model's name and tag.", certain=False
    ),
    "port_in_use": CodeRule("port", "Its port is taken", "Stop what listens there, or change the port."),
    "gpu_missing": CodeRule("gpu_missing", "There is no GPU for it", _GPU, certain=False),
    "mount_missing": CodeRule("mount", "A folder of the node is missing", "Create it, or correct the path."),
    "secret_missing": CodeRule(
        "no_token", "A secret is missing on the node", "Put it into a file in the node's secrets folder."
    ),
    "name_taken": CodeRule("name", "The container's name is taken", "Remove or rename that container."),
    "docker_missing": CodeRule("docker", "Docker was not found", "Install and start Docker on the node."),
    "docker_denied": CodeRule("docker", "The agent may not use Docker", "Add its user to the group docker."),
    "docker_down": CodeRule("docker", "Docker does not answer", "Start Docker on the node again."),
    "installation_differs": CodeRule(
        "installation", "The agent belongs to another SparkWeb", "Give it this SPARKWEB_INSTALLATION."
    ),
    "container_gone": CodeRule(
        "removed", "Somebody removed its container", "Start it again; stop models in SparkWeb, not in Docker."
    ),
    "node_deleted": CodeRule("node", "Its node was deleted", "Add the node again, or choose another one."),
    "start_timeout": CodeRule(
        "timeout", "It was not ready in time", "Look at the last lines of the log for where it stands still.",
        certain=False,
    ),
    "hang": CodeRule(
        "hang", "It hung: requests were there, and nothing came out",
        "A newer image may cure it; the log of the engine says where it stood.",
    ),
    "out_of_memory": CodeRule(
        "cgroup_memory", "Killed: the container reached its memory limit",
        "SparkWeb sets no such limit: look for one in Docker's or systemd's settings.",
    ),
    "create_failed": CodeRule(
        "create", "Docker refused the container", "Docker's own words say why.", certain=False
    ),
}  # fmt: skip
