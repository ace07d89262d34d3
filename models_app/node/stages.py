"""What an engine's log says of its way up: the stage it is in, and how far, in words. Pure.

Milestones of vLLM 0.11 to 0.32 (default_loader.py, backends.py, kv_cache_utils.py,
gpu_model_runner.py), SGLang 0.4 to 0.5 (model_runner.py, cuda_graph_runner.py), llama.cpp
(common.cpp, server.cpp) and TensorRT-LLM 1.x (model_engine.py, modeling_utils.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LOAD, COMPILE, WARMUP = "load", "compile", "warmup"
ORDER = (LOAD, COMPILE, WARMUP)

# What to look for, the stage it belongs to, and what to say; numbers in braces are the pattern's groups.
_MILESTONES = [
    (r"Fetching \d+ files:\s+(\d+)%", LOAD, "Downloading the model's files: {0} %"),
    (r"Time spent downloading weights for \S+: ([\d.]+)", LOAD, "Model downloaded in {0} s"),
    (r"Starting to load model|Load weight begin", LOAD, "Loading the weights"),
    (r"[Ll]oading \w+ checkpoint shards:.*?(\d+)/(\d+)", LOAD, "Loading the weights: {0} of {1} shards"),
    (r"Prefetching ([\d.]+\s?[GM]i?B) checkpoint", LOAD, "Reading {0} of weights"),
    (r"Loading safetensors weights in parallel:\s+(\d+)%", LOAD, "Reading the weights: {0} %"),
    (r"Loading weights(?: concurrently)?:\s+(\d+)%", LOAD, "Loading the weights: {0} %"),
    (r"Loading weights took ([\d.]+)", LOAD, "Weights loaded in {0} s"),
    (r"Load weight end", LOAD, "Weights loaded"),
    (r"Model init total -- ([\d.]+)s", LOAD, "Weights loaded in {0} s"),
    (r"load_tensors: loading model tensors", LOAD, "Loading the weights"),
    (r"llama_context: constructing llama_context|llama_kv_cache(?:_unified)?: size =", LOAD,
     "Making the KV cache"),
    (r"Using cache directory: \S+ for vLLM's torch\.compile", COMPILE, "Compiling"),
    (r"Compiling a graph|Cache the graph", COMPILE, "Compiling"),
    (r"torch\.compile takes ([\d.]+)", COMPILE, "Compiled in {0} s"),
    (r"[Tt]uning \w*gemm|Running FlashInfer autotune|\[Autotuner\] Autotuning process starts", COMPILE,
     "Tuning kernels"),
    (r"\[Autotuner\] Autotuning process ends", COMPILE, "Kernels tuned"),
    (r"[CG]PU KV cache size: ([\d,]+) tokens", WARMUP, "KV cache holds {0} tokens"),
    (r"KV Cache is allocated\..*?#tokens: (\d+)", WARMUP, "KV cache holds {0} tokens"),
    (r"Capturing CUDA graphs?[^%]*?(\d+)%", WARMUP, "Capturing CUDA graphs: {0} %"),
    (r"Capturing batches[^%]*?(\d+)%", WARMUP, "Capturing CUDA graphs: {0} %"),
    (r"Capture cuda graph begin|Creating CUDA graph instances for", WARMUP, "Capturing CUDA graphs"),
    (r"Run generation only CUDA graph warmup for batch size=(\d+)", WARMUP,
     "Capturing CUDA graphs: batch size {0}"),
    (r"Graph capturing finished in ([\d.]+)", WARMUP, "CUDA graphs captured in {0} s"),
    (r"Capture cuda graph end", WARMUP, "CUDA graphs captured"),
    (r"warming up the model with an empty run", WARMUP, "Warming up"),
    (r"Application startup complete|main: model loaded|server is fired up and ready", WARMUP,
     "Started; answers soon"),
]  # fmt: skip
_WORDS = (
    *(
        "oading",
        "Starting to load",
        "eight",
        "Fetching",
        "Prefetching",
        "Model init",
        "load_tensors",
        "llama_",
        "ompil",
        "Cache",
    ),
    *("uning", "utotun", "KV", "raph", "Capturing", "warm", "startup", "model loaded", "fired up"),
)
_ANY = re.compile("|".join(f"(?P<m{number}>{row[0]})" for number, row in enumerate(_MILESTONES)))
_EACH = [re.compile(pattern) for pattern, _, _ in _MILESTONES]


@dataclass(frozen=True)
class Milestone:
    """One step on the way up: `stage` is load, compile or warmup, `words` say how far it is."""

    stage: str
    words: str

    def after(self, before: Milestone | None) -> Milestone:
        """This one, in the furthest stage so far.

        Ranks of one engine write one log, and a draft model is loaded after the
        main one was compiled: neither takes the engine back.
        """
        if before is None or ORDER.index(before.stage) <= ORDER.index(self.stage):
            return self
        return Milestone(before.stage, self.words)


def may_tell_milestone(text: str) -> bool:
    """Whether a milestone may stand in these lines: in a flood of others the patterns would cost too much."""
    return any(word in text for word in _WORDS)


def milestone_of_line(line: str) -> Milestone | None:
    """The milestone that a log line marks; None for the others."""
    found = _ANY.search(line)
    if found is None or found.lastgroup is None:
        return None
    number = int(found.lastgroup[1:])
    match = _EACH[number].search(line)
    _, stage, words = _MILESTONES[number]
    return Milestone(stage, words.format(*match.groups())) if match else None
