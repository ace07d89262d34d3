"""Settings that would mend a failure, read from the engine's own numbers. Pure.

Each takes the failed attempt and the match of its rule, and returns settings to
set (None takes one back), or nothing where there is no safe correction.
"""

from __future__ import annotations

import math
import re
from typing import Any

from models_app.failures.cards import Correction, Failed

# Left free beside what vLLM takes: the share that it asks for is of the whole memory.
SHARE_MARGIN = 0.02
SHARE_LEAST = 0.1
SHARE_MOST = 0.9
CONTEXT_LEAST = 2_048


def flag_removed(failed: Failed, match: re.Match[str]) -> Correction:
    """Take back the settings whose flags this version does not know."""
    words = re.findall(r"--?[A-Za-z][\w-]*", match["flags"])
    by_flag = {flag: name for name, one in failed.known.items() for flag in (one.flag, one.off_flag) if flag}
    return {by_flag[word]: None for word in words if word in by_flag and by_flag[word] in failed.settings}


def length_of_model(failed: Failed, match: re.Match[str]) -> Correction:
    """Take the context length that the engine names as the model's own."""
    return _context(failed, int(float(match["limit"])))


def length_that_fits(failed: Failed, match: re.Match[str]) -> Correction:
    """Take the context length for which the engine says that the KV cache suffices."""
    limit = int(match["limit"])
    return _context(failed, limit) if limit >= 256 else {}


def context_halved(failed: Failed, _match: re.Match[str]) -> Correction:
    """Half the context, where a number is set."""
    name = _context_name(failed)
    now: Any = failed.settings.get(name) if name else None
    is_count = isinstance(now, int) and not isinstance(now, bool)
    return {name: now // 2} if name and is_count and now >= CONTEXT_LEAST else {}


def share_that_is_free(_failed: Failed, match: re.Match[str]) -> Correction:
    """Lower vLLM's share to what is free now, less a margin; nothing where too little is free."""
    share = math.floor(100 * (float(match["free"]) / float(match["total"]) - SHARE_MARGIN)) / 100
    return {"gpu_memory_utilization": share} if share >= SHARE_LEAST else {}


def static_share_raised(failed: Failed, _match: re.Match[str]) -> Correction:
    """Give SGLang a little more of the memory for weights and KV cache, where a share is set."""
    now = failed.settings.get("mem_fraction_static")
    more = round(now + 0.05, 2) if isinstance(now, int | float) else SHARE_MOST + 1
    return {"mem_fraction_static": more} if more <= SHARE_MOST else {}


def fewer_sequences(_failed: Failed, match: re.Match[str]) -> Correction:
    """Serve a quarter of the requests at a time that the engine tried to warm up with."""
    tried = int(match["count"])
    return {"max_num_seqs": tried // 4} if tried >= 4 else {}


def shared_memory(_failed: Failed, _match: re.Match[str]) -> Correction:
    """Share the host's /dev/shm, as NVIDIA's containers ask for."""
    return {"ipc": "host", "shm_size": None}


def _context(failed: Failed, limit: int) -> Correction:
    name = _context_name(failed)
    return {name: limit} if name else {}


def _context_name(failed: Failed) -> str | None:
    names = ("max_model_len", "context_length", "ctx_size", "max_seq_len")
    return next((name for name in names if name in failed.known), None)
