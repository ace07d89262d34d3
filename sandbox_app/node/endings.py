"""What became of a run: one word and a sentence, from all that is known. Pure."""

from __future__ import annotations

import json
import math
import signal
from dataclasses import dataclass, field
from typing import Any

from sandbox_app.job import Policy

RESULT_MOST_BYTES = 64 * 1024
RESULT_TAKEN_BYTES = 1024 * 1024  # the keeper hands out one more
DEPTH_MOST = 64
DISK_WORDS = (b"No space left on device", b"ENOSPC", b"Disk quota exceeded", b"File too large", b"EFBIG")


@dataclass(frozen=True)
class Evidence:
    """All that is known of a run that has ended.

    `cause` is why the agent ended it (container.Said), `told` the keeper's last word, `oom_killed` the
    engine's, `engine` why it could not be asked, `container` what it says of a container that ended
    unheard, `guardian` what the memory guardian did; `stderr` is its tail.
    """

    cause: str
    reason: str
    told: dict[str, Any] | None
    oom_killed: bool = False
    guardian: str = ""
    engine: str = ""
    container: str = ""
    stderr: bytes = b""
    result: bytes = b""


@dataclass(frozen=True)
class Verdict:
    """The outcome (job.OUTCOMES), why, and what the tool returned."""

    outcome: str
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    result: Any = None
    large_result: bytes = field(default=b"", repr=False)


def judge(evidence: Evidence, policy: Policy) -> Verdict:
    """Say how a run ended."""
    told = evidence.told or {}
    code, number = told.get("exit_code"), told.get("signal")
    cause = evidence.cause or told.get("ended") or ""
    if cause == "silent":  # beyond its time, and unheard: whose fault that was, the engine shows
        cause = told.get("ended") or ("" if evidence.told or evidence.engine else "wall")
        cause = "wall" if cause == "silent" else cause
    if cause in ("cancelled", "wall", "output", "cpu"):
        return Verdict(cause, evidence.reason or _ended_words(cause, policy), code, number)
    if evidence.guardian:
        return Verdict("memory", evidence.guardian, code, number)
    failed = evidence.told is None or bool(number) or code != 0
    if failed and (told.get("oom_kills") or evidence.oom_killed):
        return Verdict(
            "memory", f"It used more than its {_mib(policy.memory_bytes)} of memory.", code, number
        )
    if cause == "forged":
        return Verdict("signal", f"It was ended: {evidence.reason}.", None, int(signal.SIGKILL))
    if evidence.told is None:
        words = evidence.engine or evidence.container or "Docker closed the container's streams."
        return Verdict("engine", words)
    if number:
        return _by_signal(number, told, policy)
    if code:
        return _by_code(code, evidence, policy)
    return _by_result(evidence)


def _ended_words(cause: str, policy: Policy) -> str:
    return {
        "wall": f"It took longer than its {policy.timeout_seconds} s.",
        "cpu": f"It used up its {policy.cpu_seconds} s of CPU time.",
        "output": f"It wrote more than the {_mib(policy.output_bytes)} that are kept.",
        "cancelled": "It was cancelled.",
    }[cause]


def _by_signal(number: int, told: dict[str, Any], policy: Policy) -> Verdict:
    if number == signal.SIGXCPU or (
        number == signal.SIGKILL and (told.get("cpu_ms") or 0) >= policy.cpu_seconds * 1000
    ):
        return Verdict("cpu", _ended_words("cpu", policy), None, number)
    if number == signal.SIGXFSZ:
        return Verdict("disk", f"It wrote a file of more than {_mib(policy.file_bytes)}.", None, number)
    if told.get("pids_refused"):
        return Verdict("pids", _pids_words(policy), None, number)
    return Verdict("signal", f"It was ended by {_signal_name(number)}.", None, number)


def _by_code(code: int, evidence: Evidence, policy: Policy) -> Verdict:
    told = evidence.told or {}
    result, _, _ = result_read(evidence.result)
    if told.get("pids_refused"):
        return Verdict("pids", _pids_words(policy), code, result=result)
    if full := told.get("full"):
        return Verdict("disk", f"{full[0]} was full.", code, result=result)
    if any(words in evidence.stderr for words in DISK_WORDS):
        return Verdict("disk", "A file or its temporary space reached its limit.", code, result=result)
    return Verdict(
        "exit", _error_of(evidence.result) or f"It ended with exit code {code}.", code, result=result
    )


def _by_result(evidence: Evidence) -> Verdict:
    result, problem, large = result_read(evidence.result)
    if problem:
        return Verdict("exit", problem, 0)
    return Verdict("ok", _error_of(evidence.result), 0, result=result, large_result=large)


def result_read(data: bytes) -> tuple[Any, str, bytes]:
    """(result, problem, bytes that are too many for a record) of what came on descriptor 3."""
    if not data.strip():
        return None, "", b""
    if len(data) > RESULT_TAKEN_BYTES:
        return None, f"Its result has more than {_mib(RESULT_TAKEN_BYTES)}.", b""
    try:
        told = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return None, f"What it wrote as its result is no JSON: {str(error)[:200]}.", b""
    if not isinstance(told, dict) or not set(told) <= {"result", "error"}:
        return None, 'Its result must be an object of "result" and "error".', b""
    if _depth(told) > DEPTH_MOST:
        return None, f"Its result is nested more than {DEPTH_MOST} deep.", b""
    if len(data) > RESULT_MOST_BYTES:
        return None, "", data
    return plain(told.get("result")), "", b""


def plain(value: Any, depth: int = DEPTH_MOST) -> Any:
    """What a tool or a page of a stranger said, as JSON that journal, streams and clients take.

    Halves of surrogate pairs become question marks, whole numbers beyond 64 bits text, numbers that
    JSON lacks null, and what is nested too deep a note.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict | list) and depth == 0:
        return "… nested too deep"
    if isinstance(value, dict):
        return {plain(str(name)): plain(inner, depth - 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner, depth - 1) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    is_wide = isinstance(value, int) and not -(2**63) <= value < 2**63
    return str(value) if is_wide else value


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _depth(value: Any) -> int:
    """How deep it is nested; without recursion, for it may be deep."""
    deepest, level = 0, [value]
    while level:
        deepest += 1
        if deepest > DEPTH_MOST:
            return deepest
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
            if isinstance(inner, dict | list)
        ]
    return deepest


def _error_of(data: bytes) -> str:
    try:
        told = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        return ""
    error = told.get("error") if isinstance(told, dict) else None
    text = str(plain(str(error)[:2000])) if error else ""
    return text.replace("\x00", "\N{SYMBOL FOR NULL}")


def _pids_words(policy: Policy) -> str:
    return f"It asked for more than its {policy.pids} processes and threads."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB" if size >= 2**20 else f"{size} bytes"
