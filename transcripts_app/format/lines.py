"""From the bytes of a line to the object in it. No Django here.

A line that JSON allows but orjson does not (lone surrogates, NaN, integers beyond 64 bits)
is read by the standard library; what is left over is a bad line, with its reason.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

REASON_MOST = 200


class LineBad(ValueError):
    """The line is no record; the sentence says why."""


def line_read(data: bytes) -> dict[str, Any]:
    """Return the object of one line, without NULs and lone surrogates in keys and texts left to the reader.

    Raises LineBad.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        value = _slow(data)
    if not isinstance(value, dict):
        raise LineBad(f"is JSON, but no object: {type(value).__name__}")
    return value


def _slow(data: bytes) -> Any:
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
        text = text.encode(errors="surrogatepass").decode(errors="replace")
    return text
