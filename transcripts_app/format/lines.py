"""From the bytes of a line to the object in it. No Django here.

A line that JSON allows but orjson does not (lone surrogates, NaN, integers beyond 64 bits)
is read by the standard library; what is left over is a bad line, with its reason.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any

import orjson

REASON_MOST = 200
PARTS_CHECKED_FROM = 2**20  # bytes; shorter lines cannot hold too many parts
PARTS_MOST = 4_000_000  # of values; each takes about 100 bytes of memory
SURROGATE = re.compile("[\ud800-\udfff]")
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class LineBad(ValueError):
    """The line is no record; the sentence says why."""


def line_read(data: bytes) -> dict[str, Any]:
    """Return the object of one line. Every text in it is one that any database takes.

    Raises LineBad.
    """
    if len(data) > PARTS_CHECKED_FROM:
        _parts_check(data)
    dirty = b"\\u0000" in data
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        value, dirty = _slow(data), True
    if not isinstance(value, dict):
        raise LineBad(f"is JSON, but no object: {type(value).__name__}")
    return _clean(value) if dirty else value


def _parts_check(data: bytes) -> None:
    """A line of many megabytes may hold so many values that reading it would take all memory."""
    parts = data.count(b",") + data.count(b"[") + data.count(b"{")
    if parts > PARTS_MOST:
        raise LineBad(f"has too many parts to be read: about {parts:,} values in {len(data):,} bytes")


def _slow(data: bytes) -> Any:
    if data.startswith(UTF16):
        raise LineBad("is UTF-16: a transcript is UTF-8")
    if b"\0" in data:
        raise LineBad("holds NUL bytes: no text")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        # One damaged character must not cost the whole line.
        text = data.decode(errors="replace")
        if "{" not in text[:100]:
            raise LineBad(f"is no UTF-8: {error.reason} at byte {error.start}") from None
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except RecursionError:
        raise LineBad("is nested too deeply") from None
    except ValueError as error:
        raise LineBad(f"is no JSON: {error}"[:REASON_MOST]) from None


def text_clean(text: str) -> str:
    """Return a text that any database takes: NUL and lone surrogates replaced by U+FFFD."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        text = SURROGATE.sub("\ufffd", text)
    return text


def _clean(value: dict[str, Any]) -> dict[str, Any]:
    """Clean every text and key, in place where possible; without recursion, for depth is the writer's."""
    waiting: list[Any] = [value]
    while waiting:
        holder = waiting.pop()
        if isinstance(holder, dict):
            items = list(holder.items())
            holder.clear()
        else:
            items = list(enumerate(holder))
        for key, item in items:
            key = text_clean(key) if isinstance(key, str) else key
            holder[key] = text_clean(item) if isinstance(item, str) else item
            if isinstance(item, dict | list):
                waiting.append(item)
    return value
