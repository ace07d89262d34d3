"""What an engine's log says of its loading, in words for a progress line. Pure.

Milestones of vLLM 0.11 to 0.32 (default_loader.py, kv_cache_utils.py, gpu_model_runner.py).
"""

from __future__ import annotations

import re

# What to look for, and what to say; numbers in braces are the pattern's groups.
_MILESTONES = [
    (r"Fetching \d+ files:\s+(\d+)%", "Downloading the model's files: {0} %"),
    (r"Starting to load model", "Loading the weights"),
    (r"[Ll]oading \w+ checkpoint shards:.*?(\d+)/(\d+)", "Loading the weights: {0} of {1} shards"),
    (r"Loading weights took ([\d.]+)", "Weights loaded in {0} s"),
    (r"torch\.compile takes ([\d.]+)", "Compiled in {0} s"),
    (r"[CG]PU KV cache size: ([\d,]+) tokens", "KV cache holds {0} tokens"),
    (r"Capturing CUDA graphs?[^%]*?(\d+)%", "Capturing CUDA graphs: {0} %"),
    (r"Application startup complete", "Started; answers soon"),
]
_ANY = re.compile("|".join(f"(?P<m{number}>{pattern})" for number, (pattern, _) in enumerate(_MILESTONES)))
_EACH = [(re.compile(pattern), words) for pattern, words in _MILESTONES]


def stage_of_line(line: str) -> str | None:
    """The milestone that a log line marks, in words; None for the others."""
    found = _ANY.search(line)
    if found is None or found.lastgroup is None:
        return None
    pattern, words = _EACH[int(found.lastgroup[1:])]
    match = pattern.search(line)
    return words.format(*match.groups()) if match else None
