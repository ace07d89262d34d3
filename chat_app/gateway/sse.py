"""Server-sent events on their way through: usage is read, and hidden where only we asked. No Django here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

DATA = b"data:"
DONE = b"[DONE]"
TAIL_MOST = 32 * 2**20  # of one event; beyond, it is passed on unread


@dataclass(slots=True)
class Tokens:
    """What a request took, as the engine says. None: it does not."""

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    is_estimated: bool = False

    def take(self, usage: Any) -> None:
        """Read `usage` of OpenAI's form or Anthropic's; later ones replace earlier ones."""
        if not isinstance(usage, dict):
            return
        details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
        for name, value in (
            ("input", _count(usage, "prompt_tokens", "input_tokens")),
            ("output", _count(usage, "completion_tokens", "output_tokens")),
            (
                "cached",
                _count(details, "cached_tokens") if details else _count(usage, "cache_read_input_tokens"),
            ),
        ):
            if value is not None:
                setattr(self, name, value)


class Events:
    """Watches a stream. `feed` returns the bytes to pass on; at once, but for a piece of an event
    that may have to be left out (`hide_usage`)."""

    def __init__(self, tokens: Tokens, *, hide_usage: bool) -> None:
        self.tokens = tokens
        self.deltas = 0
        self.is_done = False
        self._hide = hide_usage
        self._tail = b""
        self.between = True  # what was passed on so far ends with a whole line

    def feed(self, data: bytes) -> bytes:
        """Take in what came, and return what goes on."""
        self.between = self._hide or data.endswith(b"\n")
        whole, mark, tail = (self._tail + data).rpartition(b"\n")
        self._tail = tail
        if not mark:
            if len(tail) > TAIL_MOST:
                self._tail = b""
                return tail
            return b"" if self._hide else data
        if not self._hide:
            for line in whole.split(b"\n"):
                self._read(line)
            return data
        kept = [line for line in whole.split(b"\n") if not self._read(line)]
        return b"\n".join(kept) + b"\n" if kept else b""

    def end(self) -> bytes:
        """Return what was held back."""
        tail, self._tail = self._tail, b""
        return tail if self._hide and tail and not self._read(tail) else b""

    def _read(self, line: bytes) -> bool:
        """Look at one line; True for one that nobody but us asked for."""
        if not line.startswith(DATA):
            return False
        if line[5:].strip() == DONE:
            self.is_done = True
            return False
        self.deltas += 1
        if b'"usage"' not in line or b'"usage":null' in line or b'"usage": null' in line:
            return False
        try:
            told = orjson.loads(line[5:])
        except orjson.JSONDecodeError:
            return False
        if not isinstance(told, dict):
            return False
        inner = told.get("message") or told.get("response")
        self.tokens.take(told.get("usage") or (inner.get("usage") if isinstance(inner, dict) else None))
        if told.get("choices") == [] and told.get("usage"):
            self.deltas -= 1
            return self._hide
        return False


def _count(holder: Any, *names: str) -> int | None:
    for name in names:
        value = holder.get(name) if isinstance(holder, dict) else None
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53:
            return value
    return None
