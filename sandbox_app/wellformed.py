"""Is a value plain JSON of bounded size and depth, that every database and program can hold? Pure."""

from __future__ import annotations

import json
import math
from typing import Any

DEPTH_MOST = 64


def wellformed_problem(value: dict[str, Any], bytes_most: int) -> str | None:
    """The first thing wrong with arguments, as a sentence that names where; None for good ones.

    Walks without recursion, for what comes in may be as deep as it likes.
    """
    waiting: list[tuple[str, Any, int]] = [(str(name), child, 1) for name, child in value.items()]
    for name in value:
        if problem := _text_problem("a name of an argument", name):
            return problem
    while waiting:
        where, each, depth = waiting.pop()
        if problem := _scalar_problem(where, each):
            return problem
        if depth > DEPTH_MOST and isinstance(each, dict | list):
            return f"{where} is nested more than {DEPTH_MOST} levels deep."
        if isinstance(each, dict):
            for name, child in each.items():
                if problem := _text_problem(f"a name within {where}", name):
                    return problem
                waiting.append((where, child, depth + 1))
        elif isinstance(each, list):
            waiting.extend((where, child, depth + 1) for child in each)
    size = len(json.dumps(value, ensure_ascii=False).encode())
    if size > bytes_most:
        return f"Arguments have {size / 1e6:.1f} MB as JSON; at most {bytes_most // 2**20} MiB are taken."
    return None


def _scalar_problem(where: str, value: Any) -> str | None:
    if isinstance(value, str):
        return _text_problem(where, value)
    if isinstance(value, float) and not math.isfinite(value):
        return f"{where} is {value}, which is no number of JSON."
    if isinstance(value, int) and value.bit_length() > 1024:
        return f"{where} is a number of more than 300 digits."
    if value is None or isinstance(value, bool | int | float | dict | list):
        return None
    return f"{where} is a {type(value).__name__}, which JSON does not have."


def _text_problem(where: str, text: Any) -> str | None:
    if not isinstance(text, str):
        return f"{where} is no text."
    if "\x00" in text:
        return f"{where} contains the character NUL."
    try:
        text.encode()
    except UnicodeEncodeError:
        return f"{where} contains half of a surrogate pair, which is no character."
    return None
