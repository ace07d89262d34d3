"""How a container ended, in words that help its owner. Pure."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import dataclass

TAIL_LIMIT_BYTES = 64 * 1024
ESCAPED_LIMIT_BYTES = 192 * 1024
REASON_LIMIT = 500

# Colours and cursor moves, then every control character but tab.
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
# vLLM writes "(EngineCore pid=12) ERROR 11-23 19:04:01 [core.py:93] ..." before the words.
_PREFIX = re.compile(
    r"^(\([\w ]+pid=\d+\)\s*)?((ERROR|CRITICAL|WARNING|INFO)\s+\d\d-\d\d \d\d:\d\d:\d\d\s+(\[[^\]]+\]\s*)?)?"
)
_ERROR = re.compile(
    r"\b[A-Za-z_.]*(Error|Exception|Interrupt)\b:|^\S*:? ?error:|\bFATAL\b|\bfatal:"
    r"|No available memory for the cache"
)
# vLLM's parent process says only that the child failed; the cause stands above.
_NO_CAUSE = re.compile(r"See root cause above|Engine core initialization failed")
# pydantic, which checks vLLM's configuration, says what is wrong on the lines after: a field's name, if it
# is one, then a sentence that ends with "[type=value_error, …]".
_VALIDATION = re.compile(r"ValidationError: \d+ validation errors? for \w+$")
_VALIDATION_TYPE = re.compile(r"\s*\[type=\w+, .*$")


@dataclass(frozen=True)
class StopNote:
    """That somebody asked for the end: how long it had to end by itself, in seconds."""

    timeout_seconds: int


def line_clean(line: str) -> str:
    """A log line without colours and control characters."""
    return _CONTROL.sub("", _ANSI.sub("", line)).rstrip()


def line_without_prefix(line: str) -> str:
    """A clean line without time, process and source file, as vLLM writes them before its words."""
    return _PREFIX.sub("", line).strip()


def line_of_failure(lines: list[str]) -> str:
    """The line that says best why it ended: the last error that names a cause, else the last line.

    Without time, process and source file; "" when there are no words at all.
    """
    worded = [line for line in (line_without_prefix(line_clean(raw)) for raw in lines) if line]
    worded = [_with_sentence(line, worded[n + 1 : n + 3]) for n, line in enumerate(worded)]
    errors = [line for line in worded if _ERROR.search(line)]
    causes = [line for line in errors if not _NO_CAUSE.search(line)]
    best = (causes or errors or [line for line in worded if any(map(str.isalnum, line))] or [""])[-1]
    return best if len(best) <= REASON_LIMIT else best[: REASON_LIMIT - 1] + "…"


def _with_sentence(line: str, after: list[str]) -> str:
    """A ValidationError that names what is wrong, from the two lines after it; other lines as they are."""
    if not _VALIDATION.search(line):
        return line
    for n, sentence in enumerate(after):
        if _VALIDATION_TYPE.search(sentence):
            words = _VALIDATION_TYPE.sub("", sentence).removeprefix("Value error, ")
            return ": ".join(["ValidationError", *after[:n], words])
    return line


def exit_signal(exit_code: int) -> str | None:
    """The signal behind an exit code over 128, such as SIGKILL for 137; None for none."""
    try:
        return signal.Signals(exit_code - 128).name if exit_code > 128 else None
    except ValueError:
        return None


def exit_reason(exit_code: int, oom_killed: bool, stop: StopNote | None, lines: list[str]) -> str:
    """One sentence on how a container ended.

    `lines` are the last of its log. A SIGKILL without Docker's OOM mark may still
    have been the kernel: on unified memory it kills for want of the whole machine's
    memory, which no container's own limit shows.
    """
    if stop and not oom_killed:
        return _stopped_reason(exit_code, stop)
    said = line_of_failure(lines)
    if oom_killed:
        reason = "killed by the kernel because its memory limit was reached"
    elif exit_code == 137:
        reason = "killed with SIGKILL: by someone, or by the kernel because the machine ran out of memory"
    elif name := exit_signal(exit_code):
        reason = f"ended by {name} (exit code {exit_code})"
    else:
        reason = f"exited with code {exit_code}"
    return f"{reason}: {said}" if said else reason


def _stopped_reason(exit_code: int, stop: StopNote) -> str:
    if exit_code == 137:
        return f"stopped as asked: it ignored SIGTERM for {stop.timeout_seconds} s and was killed"
    return f"stopped as asked (exit code {exit_code})"


def tail_text(lines: list[str]) -> str:
    """The last lines as one text of at most 64 kB of UTF-8, cleaned, whole lines only.

    Also bounded is its size in a fact on its way, where quotes and backslashes are
    escaped twice.
    """
    kept: list[str] = []
    size = escaped = 0
    for line in reversed(lines):
        clean = line_clean(line)
        size += len(clean.encode()) + 1
        escaped += len(json.dumps(json.dumps(clean, ensure_ascii=False), ensure_ascii=False).encode())
        if size > TAIL_LIMIT_BYTES or escaped > ESCAPED_LIMIT_BYTES:
            break
        kept.append(clean)
    return "\n".join(reversed(kept))
